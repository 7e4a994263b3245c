-- Forgets a command, if it is still this request's.
--
-- KEYS  1 command
-- ARGV  1 token
if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 0
