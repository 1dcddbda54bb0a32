-- Copy pending entries to a dead-letter stream with their origin and acknowledge them: both or neither.
-- KEYS: the stream, the dead-letter stream. ARGV: group, least idle ms, deliveries to exceed, owner or '', reason, ids.
-- Gives per id: moved or why not. An entry that was moved is not pending any more, so it is never moved twice.
local key, place, group = KEYS[1], KEYS[2], ARGV[1]
-- An acknowledgement of nothing: when it is not permitted, nothing may be copied either.
run('XACK', key, group, '0-0')
local verdicts = {}
for i = 6, #ARGV do
  local verdict, row, fields = judge(key, group, ARGV[i], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4])
  if verdict == '' then
    local copy = {'XADD', place, '*'}
    for _, word in ipairs(fields) do table.insert(copy, word) end
    local origin = {
      'origin_stream', key, 'origin_group', group, 'origin_id', ARGV[i], 'origin_consumer', row[2],
      'origin_deliveries', tostring(row[4]), 'origin_reason', ARGV[5],
    }
    for _, word in ipairs(origin) do table.insert(copy, word) end
    run(unpack(copy))
    run('XACK', key, group, ARGV[i])
    verdict = 'moved'
  end
  table.insert(verdicts, verdict)
end
return verdicts
