-- Remove consumers that hold nothing and were silent for long; both looked at in the moment of the removal.
-- KEYS: the stream. ARGV: group, least silence in ms, names. Gives per name: gone, pending, heard, missing.
local listed = {}
for _, row in ipairs(run('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = map(row)
  listed[consumer['name']] = consumer
end
local verdicts = {}
for i = 3, #ARGV do
  local consumer, verdict = listed[ARGV[i]], 'gone'
  if not consumer then verdict = 'missing'
  elseif consumer['pending'] > 0 then verdict = 'pending'
  elseif quiet(consumer) < tonumber(ARGV[2]) then verdict = 'heard'
  else run('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[i]) end
  table.insert(verdicts, verdict)
end
return verdicts
