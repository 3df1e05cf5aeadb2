#!lua flags=no-writes
-- Measure the memory of a part of the keys. ARGV: prefix, queue, cursor, number of keys per call, pattern. Returns the
-- next cursor and, flat, per kind of key its name, count and bytes. The keys of all shards count as ours.
local ours = string.match(prefix, '^({.*)%d%d:st}:$') or prefix
local kinds = {}
local part = redis.call('SCAN', ARGV[3], 'MATCH', ARGV[5], 'COUNT', ARGV[4])
for _, key in ipairs(part[2]) do
  local kind = nil
  if starts_with(key, ours) then
    kind = string.match(key, '^{[^}]*}:([^:]+)') or string.match(string.sub(key, #ours + 1), '^[^:]+')
  elseif starts_with(key, 'arq:') then
    kind = string.match(key, '^arq:[^:]+')
  end
  kind = kind or 'other'
  local found = kinds[kind] or {0, 0}
  kinds[kind] = {found[1] + 1, found[2] + (redis.call('MEMORY', 'USAGE', key) or 0)}
end
local flat = {}
for kind, found in pairs(kinds) do
  flat[#flat + 1] = kind
  flat[#flat + 1] = found[1]
  flat[#flat + 1] = found[2]
end
return {part[1], flat}
