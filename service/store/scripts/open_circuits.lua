#!lua flags=no-writes
-- List accounts with an open circuit or recent failures. ARGV: prefix, queue. Returns account and ms until its probe,
-- flat (0: calls are allowed, and the next success must be reported).
local answer = {}
local circuits = redis.call('HGETALL', prefix .. 'circuits')
for i = 1, #circuits, 2 do
  answer[#answer + 1] = circuits[i]
  answer[#answer + 1] = math.max(number_of(prefix .. 'circuits', string.match(circuits[i + 1], '^(%d+)') or circuits[i + 1]) - now, 0)
end
return answer
