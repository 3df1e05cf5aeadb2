#!lua
-- Take in a batch of deliveries: per event claim the key, keep the delivery, append to the lane, make the lane's job, wake
-- a worker. ARGV: prefix, queue, backlog_events_max, then per delivery how many events it tells, and per event 6: id,
-- claim, window_ms, lane, delivery, job payload.
-- Gives per event the id that holds the claim: its own (taken in, also by an earlier call with the same id), or the first
-- one's. A delivery that finds the backlog full is not taken in, and gets '' for each of its events, unless all of them
-- are known already. One that finds room is taken in whole: the limit is passed by the events of one delivery at most.
local PARTS = 6
local holders, added = {}, false
local room = tonumber(ARGV[3]) - redis.call('ZCARD', open)

local function take_in(i)
  local id, lane = ARGV[i], lane_prefix .. ARGV[i + 3]
  local holder = redis.call('SET', prefix .. 'claim:' .. ARGV[i + 1], id, 'NX', 'GET', 'PX', ARGV[i + 2])
  if not holder then
    redis.call('SET', prefix .. 'delivery:' .. id, ARGV[i + 4])
    redis.call('ZADD', open, now, id)
    redis.call('RPUSH', lane, id)
    added = make_job(lane, ARGV[i + 5], now) or added
    room = room - 1
  end
  return holder or id
end

local function known(first, last)
  local found = {}
  for i = first, last, PARTS do
    local holder = redis.call('GET', prefix .. 'claim:' .. ARGV[i + 1])
    if not holder then
      return nil
    end
    found[#found + 1] = holder
  end
  return found
end

local i = 4
while i <= #ARGV do
  local first, last = i + 1, i + ARGV[i] * PARTS
  local found = room <= 0 and (known(first, last) or {})
  for at = first, last, PARTS do
    holders[#holders + 1] = found and (found[(at - first) / PARTS + 1] or '') or take_in(at)
  end
  i = last + 1
end
if added then
  wake_one()
end
return holders
