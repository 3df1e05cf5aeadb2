#!lua flags=allow-oom
-- End dead letters for good, by a person's wish or because they outlived their limit. ARGV: prefix, queue, fate, reason,
-- keep_ms, body_ms, ids. Gives how many were dead letters.
local discarded = 0
for i = 7, #ARGV do
  local id = ARGV[i]
  if redis.call('ZREM', dead, id) == 1 then
    end_event('', '', id, ARGV[3], ARGV[5], ARGV[6])
    redis.call('HSET', prefix .. 'event:' .. id, 'reason', ARGV[4])
    discarded = discarded + 1
  end
end
return discarded
