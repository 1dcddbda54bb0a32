-- Trim a stream below what every group has acknowledged, in one atomic step (measurement.md §9, appendix C).
-- KEYS: the stream. ARGV: 'look' or 'go', most entries, retention in ms, newest entries to keep, planned floor or '',
--   then every group that must be there.
-- Gives {why refused or '', floor, who holds it, entries, below the floor, removed, 1 when there may be more below}.
local key, mode, most, retention, keep, planned = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
if most < 1 or keep < 1 then return {'limit', '0-0', '', 0, 0, 0, 0} end
local there, floor, holder = {}, nil, ''
local function hold(id, who)
  if floor == nil or order(id) < order(floor) then floor, holder = id, who end
end
local clock = run('TIME')
hold(string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000) - retention) .. '-0', '(retention)')
for _, listed in ipairs(run('XINFO', 'GROUPS', key)) do
  local group = map(listed)
  there[group['name']] = true
  hold(following(group['last-delivered-id']), group['name'])
  if group['pending'] > 0 then hold(run('XPENDING', key, group['name'])[2], group['name']) end
end
local length = run('XLEN', key)
if next(there) == nil then return {'no_group', floor, '', length, 0, 0, 0} end
for i = 6, #ARGV do
  if not there[ARGV[i]] then return {'group_missing', floor, ARGV[i], length, 0, 0, 0} end
end
if planned ~= '' then
  if order(floor) < order(planned) then return {'unacknowledged', floor, holder, length, 0, 0, 0} end
  floor = planned
end
local room = math.min(most, length - keep)
if room < 1 then return {'', floor, '(keep_entries)', length, 0, 0, 0} end
-- Counting reads the entries: no more than 4 MiB of them, judged by the first.
local first = run('XRANGE', key, '-', '+', 'COUNT', 1)
local size = 1
if first[1] then for _, word in ipairs(first[1][2]) do size = size + #word end end
local readable = math.max(1, math.min(room, math.floor(4194304 / size)))
local below = #run('XRANGE', key, '-', '(' .. floor, 'COUNT', readable)
local removed = 0
-- LIMIT 0 would mean without limit.
if mode == 'go' and below > 0 then removed = run('XTRIM', key, 'MINID', '~', floor, 'LIMIT', below) end
return {'', floor, holder, length, below, removed, below == readable and readable < room and 1 or 0}
