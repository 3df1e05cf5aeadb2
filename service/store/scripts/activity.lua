#!lua flags=no-writes
-- Count the events that ended or became dead letters, by time. ARGV: prefix, queue, first time in ms, step in ms, steps.
-- Returns the ended events of each step, oldest first, then the dead letters of each step.
local answer = {}
for _, key in ipairs({ended, dead}) do
  for step = 0, ARGV[5] - 1 do
    local from = ARGV[3] + step * ARGV[4]
    answer[#answer + 1] = redis.call('ZCOUNT', key, from, '(' .. string.format('%.0f', from + ARGV[4]))
  end
end
return answer
