-- Reads the outbox after a position.
--
-- KEYS  1 outbox
-- ARGV  1 the position ('' for the newest), 2 limit of entries
-- Returns {position of the oldest kept message (one above the newest if none is kept), position of the newest message ever,
-- id of the message at the position ('' if it is not kept), entries as XRANGE returns them}.
local function position(entry)
  return entry and tonumber(string.match(entry[1], '-(%d+)$')) or 0
end

local newest = math.max(newest_entry(KEYS[1]), last_position(KEYS[1]))
local oldest = position(redis.call('XRANGE', KEYS[1], OUTBOX_FIRST, OUTBOX_LAST, 'COUNT', 1)[1])
if oldest == 0 then
  oldest = newest + 1
end
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
  entries = redis.call('XRANGE', KEYS[1], '(0-' .. from, OUTBOX_LAST, 'COUNT', ARGV[2])
end
return { oldest, newest, id, entries }
