-- Give pending entries to a consumer that exists and lives.
-- KEYS: the stream. ARGV: group, heir, least idle ms, heir heard of within ms, owner or '', ids.
-- Gives per id: moved or why not; {'no_heir'} when the heir is not there or silent.
local key, group, heir = KEYS[1], ARGV[1], ARGV[2]
local alive = false
for _, row in ipairs(run('XINFO', 'CONSUMERS', key, group)) do
  local consumer = map(row)
  if consumer['name'] == heir and quiet(consumer) <= tonumber(ARGV[4]) then alive = true end
end
if not alive then return {'no_heir'} end
local verdicts = {}
for i = 6, #ARGV do
  local verdict, row = judge(key, group, ARGV[i], tonumber(ARGV[3]), -1, ARGV[5])
  if verdict == '' and row[2] == heir then verdict = 'moved_already' end
  if verdict == '' then
    run('XCLAIM', key, group, heir, ARGV[3], ARGV[i])
    verdict = 'moved'
  end
  table.insert(verdicts, verdict)
end
return verdicts
