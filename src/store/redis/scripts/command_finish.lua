-- Stores the answer to a command, unless another request has begun it since.
--
-- KEYS  1 command
-- ARGV  1 fingerprint, 2 token, 3 status, 4 body, 5 keeping time in ms
-- Returns 1 if it is stored, 0 if not.
local token = redis.call('HGET', KEYS[1], 'token')
if token and token ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'token', ARGV[2], 'status', ARGV[3], 'body', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
