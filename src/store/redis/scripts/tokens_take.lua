-- Takes tokens out of an app's bucket.
--
-- KEYS  1 bucket
-- ARGV  1 microseconds for one token, 2 size of the bucket, 3 number of wanted tokens
-- Returns {number of tokens taken, microseconds until the next one if none was}.
--
-- The value is the time at which the bucket is full, in microseconds: the missing tokens are the time until then.
-- Microseconds since the epoch are exact in a double until the year 2255.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local every, burst, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local whole = every * burst
local noted = tonumber(replace('GET', KEYS[1]) or '0') or 0
-- At most an empty bucket, even if the clock was set back or the bucket was larger.
local full = math.min(math.max(noted, now), now + whole)
local there = whole - (full - now)
local granted = math.max(0, math.min(want, math.floor(there / every)))
local after = full + every * granted
-- Also written without a token: an old value must not keep the bucket empty until then.
if granted > 0 or noted > full then
  redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1)
end
if granted == 0 then
  return { 0, every - there }
end
return { granted, 0 }
