#!lua flags=no-writes
-- How records stand. ARGV: prefix, queue, then records by the names of their lanes. Gives per record the version of its
-- last decided state ('' for none), and how many of its events wait.
local answer = {}
for i = 3, #ARGV do
  local state = redis.call('GET', prefix .. 'record:' .. ARGV[i]) or ''
  answer[#answer + 1] = string.match(state, '^[^\n]*\n([^\n]*)\n') or ''
  answer[#answer + 1] = redis.call('LLEN', lane_prefix .. ARGV[i])
end
return answer
