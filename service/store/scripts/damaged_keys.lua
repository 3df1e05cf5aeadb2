#!lua flags=no-writes
-- List the keys that were set aside, and whose copies still exist. ARGV: prefix, queue. Returns copy, and key, found type and
-- expected type on a line each, flat.
local answer = {}
local copies = read('HGETALL', prefix .. 'damaged') or {}
for i = 1, #copies, 2 do
  if redis.call('EXISTS', copies[i]) == 1 then
    answer[#answer + 1] = copies[i]
    answer[#answer + 1] = copies[i + 1]
  end
end
return answer
