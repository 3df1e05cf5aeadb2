#!lua flags=no-writes
-- Return the status of records. ARGV: prefix, queue, lane names. Returns per record the version of its last decided
-- state ('' for none) and the number of its queued events.
local answer = {}
for i = 3, #ARGV do
  local state = text(prefix .. 'record:' .. ARGV[i]) or ''
  answer[#answer + 1] = string.match(state, '^[^\n]*\n([^\n]*)\n') or ''
  answer[#answer + 1] = redis.call('LLEN', lane_prefix .. ARGV[i])
end
return answer
