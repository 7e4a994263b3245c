-- Removes a command, if it still belongs to this request.
--
-- KEYS  1 command
-- ARGV  1 token
if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 0
