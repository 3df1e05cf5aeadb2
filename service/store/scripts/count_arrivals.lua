#!lua
-- Count arrivals in the hour of the store's clock. ARGV: prefix, queue, retention of the counts in ms, id of the call,
-- then per source its name and its number of arrivals. A repeated call with the same id changes nothing.
local CALL_MS = 600000
local counts, last = prefix .. 'arrivals:' .. math.floor(now / 3600000), prefix .. 'arrived'
local call = prefix .. 'arrivals:call:' .. ARGV[4]

if redis.call('EXISTS', call) == 1 then
  return 0
end
for i = 5, #ARGV, 2 do
  redis.call('HSET', last, ARGV[i], now) -- first: the call is repeated if its key is damaged
  redis.call('HINCRBY', counts, ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIRE', counts, ARGV[3])
redis.call('SET', call, 1, 'PX', CALL_MS)
return 1
