-- wrk's part of the closed loop: requests made beforehand, each sent once; what is answered within
-- a window of time is counted, so that neither the filling nor the emptying of queues is.
-- Arguments: FILE (one JSON body a line), PATH, WORD (the field of an answer that counts its input),
-- seconds until the window opens, seconds that it is open.

local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long ns; } moment; int clock_gettime(int, moment *);")
local CLOCK_MONOTONIC = 1
local moment = ffi.new("moment")

local function now()
  ffi.C.clock_gettime(CLOCK_MONOTONIC, moment)
  return tonumber(moment.s) + tonumber(moment.ns) * 1e-9
end

local made, threads = {}, {}
local opens, closes, pause, window, usage
next_body, answers, failures, counted, exhausted = 0, 0, 0, 0, 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local head = "POST " .. args[2] .. " HTTP/1.1\r\nHost: localhost\r\n"
    .. "Content-Type: application/json\r\nContent-Length: "
  for body in io.lines(args[1]) do
    made[#made + 1] = head .. #body .. "\r\n\r\n" .. body
  end
  usage = '"' .. args[3] .. '":%s*(%d+)'
  pause, window = tonumber(args[4]), tonumber(args[5])
end

function request()
  next_body = next_body + 1
  if next_body == 2 then -- wrk asks for the first before it connects, and does not send it
    opens = now() + pause
    closes = opens + window
  elseif next_body > #made then
    exhausted, next_body = 1, 1
    wrk.thread:stop()
  end
  return made[next_body]
end

-- The count stands behind the vectors, within the last characters of an answer.
function response(status, headers, body)
  local count = status == 200 and body:match(usage, -300)
  local time = now()
  if not count then
    failures = failures + 1
  elseif time > opens and time <= closes then
    answers = answers + 1
    counted = counted + count
  end
end

function done(summary, latency, requests)
  local thread = threads[1]
  io.write(string.format(
    '\nRESULT {"answers":%d,"failures":%d,"counted":%d,"exhausted":%d,"run_us":%d,'
      .. '"socket_errors":%d,"timeouts":%d,"p50":%d,"p95":%d,"p99":%d}\n',
    thread:get("answers"), thread:get("failures"), thread:get("counted"), thread:get("exhausted"),
    summary.duration,
    summary.errors.connect + summary.errors.read + summary.errors.write, summary.errors.timeout,
    latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
