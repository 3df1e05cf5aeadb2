#!lua flags=allow-oom
-- Discard dead letters without running their effects. ARGV: prefix, queue, outcome, reason, retention_ms, body_ms, ids.
-- Returns the number of dead letters, including those that an earlier call with the same reason discarded.
local discarded = 0
for i = 7, #ARGV do
  local id = ARGV[i]
  local as = end_of(id)
  if as then
    redis.call('ZREM', dead, id) -- present only if an earlier call failed before this command
    if as[1] == ARGV[3] and as[7] == ARGV[4] then
      discarded = discarded + 1
    end
  elseif redis.call('ZSCORE', dead, id) then
    end_event('', '', id, ARGV[3], ARGV[5], ARGV[6], ARGV[4])
    redis.call('ZREM', dead, id)
    discarded = discarded + 1
  end
end
return discarded
