-- Whether one pending entry may be moved now: a verdict, its row, its fields.
local function judge(key, group, id, idle, deliveries, owner)
  local row = run('XPENDING', key, group, id, id, 1)[1]
  if not row then return 'acknowledged' end
  if owner ~= '' and row[2] ~= owner then return 'moved_already' end
  if row[3] < idle then return 'in_work' end
  if row[4] <= deliveries then return 'few_deliveries' end
  local entry = run('XRANGE', key, id, id)[1]
  if not entry then return 'payload_gone' end
  return '', row, entry[2]
end
