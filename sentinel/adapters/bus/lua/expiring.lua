-- Give one key a time to live, or unlink it; only while it has none, nobody uses it, and it is no stream with groups.
-- KEYS: the key. ARGV: 'look', 'expire' or 'unlink', ttl in ms, least idle seconds, permitted types.
local key, mode = KEYS[1], ARGV[1]
local kind = run('TYPE', key)
kind = type(kind) == 'table' and kind['ok'] or kind
if kind == 'none' then return 'missing' end
local permitted = false
for i = 4, #ARGV do permitted = permitted or ARGV[i] == kind end
if not permitted then return 'type' end
if kind == 'stream' and #run('XINFO', 'GROUPS', key) > 0 then return 'has_groups' end
if run('PTTL', key) >= 0 then return 'has_ttl' end
if run('OBJECT', 'IDLETIME', key) < tonumber(ARGV[3]) then return 'in_use' end
if mode == 'expire' then run('PEXPIRE', key, ARGV[2]) end
if mode == 'unlink' then run('UNLINK', key) end
return 'gone'
