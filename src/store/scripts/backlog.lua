-- How much lies in a node's queues.
--
-- KEYS  1 cursor, 2 outbox, 3 ready, 4 dead
-- Answers {messages after the cursor, queues, dead}.
local written = 0
if redis.call('EXISTS', KEYS[2]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      written = tonumber(string.match(info[i + 1], '-(%d+)$'))
    end
  end
end
local cursor = tonumber(redis.call('GET', KEYS[1]) or '0')
return { math.max(written - cursor, 0), redis.call('ZCARD', KEYS[3]), redis.call('LLEN', KEYS[4]) }
