#!lua flags=no-writes
-- List accounts with parked jobs. ARGV: prefix, queue. Returns account, number of jobs and ms since the first of them was
-- parked, flat.
local answer = {}
for _, name in ipairs(redis.call('SMEMBERS', prefix .. 'parked')) do
  local key = prefix .. 'parked:' .. name
  local oldest = parked_since(name)
  answer[#answer + 1] = name
  answer[#answer + 1] = redis.call('ZCARD', key)
  answer[#answer + 1] = now - oldest
end
return answer
