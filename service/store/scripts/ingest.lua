#!lua
-- Take in a batch of events: claim the key, keep the delivery, append to the lane, make the lane's job, wake a worker.
-- ARGV: prefix, queue, backlog_events_max, then per event: id, claim, window_ms, lane, delivery, job payload.
-- Gives per event the id that holds the claim: its own (taken in, also by an earlier call with the same id), or the
-- first one's. Gives {} and writes nothing when the backlog is full.
if redis.call('ZCARD', open) >= tonumber(ARGV[3]) then
  return {}
end
local holders, added, written = {}, false, false
for i = 4, #ARGV, 6 do
  local id, lane = ARGV[i], lane_prefix .. ARGV[i + 3]
  local holder = redis.call('SET', prefix .. 'claim:' .. ARGV[i + 1], id, 'NX', 'GET', 'PX', ARGV[i + 2])
  if not holder then
    redis.call('SET', prefix .. 'delivery:' .. id, ARGV[i + 4])
    redis.call('ZADD', open, now, id)
    redis.call('RPUSH', lane, id)
    added = make_job(lane, ARGV[i + 5], now) or added
    written = true
  end
  holders[#holders + 1] = holder or id
end
if added then
  wake_one()
end
if not written then
  -- A duplicate's answer promises what the first one's did: a write of our own makes WAITAOF wait for everything before.
  redis.call('SET', prefix .. 'tick', now)
end
return holders
