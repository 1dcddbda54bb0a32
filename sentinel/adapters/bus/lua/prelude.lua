-- What every script needs. An error names the command that failed: a missing right must be nameable on every server.
local SUB = {XINFO = true, XGROUP = true, OBJECT = true}
local function run(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    local words = {...}
    local name = SUB[words[1]] and (words[1] .. '|' .. words[2]) or words[1]
    error({err = 'SENTINEL ' .. name .. ' ' .. reply.err})
  end
  return reply
end
local function map(list)
  local found = {}
  for i = 1, #list, 2 do found[list[i]] = list[i + 1] end
  return found
end
-- Ids are compared as zero-padded decimal strings: doubles lose precision above 2^53.
local function split(id) return string.match(id, '^(%d+)-(%d+)$') end
local function pad(digits) return string.rep('0', 20 - #digits) .. digits end
local function order(id) local ms, seq = split(id); return pad(ms) .. pad(seq) end
local function following(id)
  local ms, seq = split(id)
  if #seq > 15 then return id end
  return ms .. '-' .. string.format('%.0f', tonumber(seq) + 1)
end
-- Milliseconds since a consumer was last heard of: its last attempt, or its last success (-1: never had one).
local function quiet(consumer)
  local inactive = consumer['inactive']
  if inactive and inactive >= 0 and inactive < consumer['idle'] then return inactive end
  return consumer['idle']
end
