#!lua flags=no-writes
-- List accounts with parked jobs. ARGV: prefix, queue. Returns account, number of jobs and age of the oldest in ms, flat.
local answer = {}
for _, name in ipairs(redis.call('SMEMBERS', prefix .. 'parked')) do
  local key = prefix .. 'parked:' .. name
  local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  answer[#answer + 1] = name
  answer[#answer + 1] = redis.call('ZCARD', key)
  answer[#answer + 1] = oldest and now - tonumber(oldest) or 0
end
return answer
