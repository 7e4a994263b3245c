-- What the outbox holds after a position.
--
-- KEYS  1 outbox
-- ARGV  1 the position ('' for the newest), 2 how many at most
-- Answers {position of the oldest, of the newest (both 0 when none is kept), id of the message at the position ('' when it
-- is not kept), entries as XRANGE answers them}.
local function position(entry)
  return entry and tonumber(string.match(entry[1], '-(%d+)$')) or 0
end

local oldest = position(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1])
local newest = position(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1])
local from = ARGV[1]
if from == '' then
  from = string.format('%.0f', newest)
end

local id = ''
local at = redis.call('XRANGE', KEYS[1], '0-' .. from, '0-' .. from)[1]
if at then
  for n = 1, #at[2], 2 do
    if at[2][n] == 'id' then
      id = at[2][n + 1]
    end
  end
end

local entries = {}
if tonumber(ARGV[2]) > 0 then
  entries = redis.call('XRANGE', KEYS[1], '(0-' .. from, '+', 'COUNT', ARGV[2])
end
return { oldest, newest, id, entries }
