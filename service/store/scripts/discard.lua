#!lua flags=allow-oom
-- Discard dead letters without running their effects. ARGV: prefix, queue, outcome, reason, retention_ms, body_ms, ids.
-- Returns the number of dead letters, including those that an earlier call with the same reason discarded.
local discarded = 0
for i = 7, #ARGV do
  local id = ARGV[i]
  if redis.call('ZREM', dead, id) == 1 then
    end_event('', '', id, ARGV[3], ARGV[5], ARGV[6], ARGV[4])
    discarded = discarded + 1
  else
    local as = end_of(id)
    if as and as[1] == ARGV[3] and as[7] == ARGV[4] then
      discarded = discarded + 1
    end
  end
end
return discarded
