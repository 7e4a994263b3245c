-- Begins a command, or returns its state.
--
-- KEYS  1 command
-- ARGV  1 fingerprint, 2 token, 3 time in ms for which it belongs to this request
-- Returns {0} if it belongs to this request, now or by an earlier transmission; {1, status, body} if it has been answered;
-- {2} if another request has it; {3} if its id belongs to a different command.
local found = redis.call('HMGET', KEYS[1], 'fingerprint', 'token', 'status', 'body')
if not found[1] then
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'token', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return { 0, 0, '' }
end
if found[1] ~= ARGV[1] then
  return { 3, 0, '' }
end
if found[3] then
  return { 1, found[3], found[4] }
end
if found[2] == ARGV[2] then
  return { 0, 0, '' }
end
return { 2, 0, '' }
