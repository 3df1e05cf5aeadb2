#!lua flags=no-writes
-- Which platform accounts rest or have failed of late? ARGV: prefix, queue. Gives account, ms it still rests (0: it does
-- not, but a success is to be told), …
local answer = {}
local pauses = redis.call('HGETALL', prefix .. 'pauses')
for i = 1, #pauses, 2 do
  answer[#answer + 1] = pauses[i]
  answer[#answer + 1] = math.max(tonumber(string.match(pauses[i + 1], '^(%d+)')) - now, 0)
end
return answer
