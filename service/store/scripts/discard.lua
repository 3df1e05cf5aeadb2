#!lua flags=allow-oom
-- End dead letters for good, by a person's wish or because they outlived their limit. ARGV: prefix, queue, fate, reason,
-- keep_ms, body_ms, ids. Gives how many were dead letters, those that an earlier call with the same reason ended included.
local discarded = 0
for i = 7, #ARGV do
  local id = ARGV[i]
  if redis.call('ZREM', dead, id) == 1 then
    end_event('', '', id, ARGV[3], ARGV[5], ARGV[6], ARGV[4])
    discarded = discarded + 1
  else
    local as = ended_as(id)
    if as and as[1] == ARGV[3] and as[7] == ARGV[4] then
      discarded = discarded + 1
    end
  end
end
return discarded
