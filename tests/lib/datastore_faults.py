"""What a test may want of the server beyond Datastore: faults, counts, a record of the requests.

A fault is for the next N requests of a method (or of any: *), and is one of

    status 429|500|503|409|401|403 [after]   that error; after: once it was applied
    delay SECONDS                            the right answer, later
    half                                     half of the answer, then the connection is cut
    cut_before, cut_after                    cut without an answer: not applied, applied
    silence                                  no answer, not applied, the connection stays
"""
import collections
import threading

from datastore_values import Refusal

RECORDED_MAX, RECORDED_BYTES = 1000, 16 << 20
STATUSES = {
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access"
          " token, login cookie or other valid authentication credential. See https://developers."
          "google.com/identity/sign-in/web/devconsole-project."),
    403: ("PERMISSION_DENIED", "Missing or insufficient permissions."),
    404: ("NOT_FOUND", "Not found."),
    409: ("ABORTED", "too much contention on these datastore entities. please try again."),
    429: ("RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Requests' and limit 'Requests per "
          "minute' of service 'datastore.googleapis.com'."),
    500: ("INTERNAL", "Internal error encountered."),
    503: ("UNAVAILABLE", "The service is currently unavailable."),
    504: ("DEADLINE_EXCEEDED", "The datastore operation timed out, or the data was temporarily "
          "unavailable."),
}


class Cut(Exception):
    """The connection is to be cut."""


class Faults:
    def __init__(self):
        self.lock = threading.Lock()
        self.planned = []  # [method, how often still, kind, arguments]
        self.thawed = threading.Event()
        self.thawed.set()
        self.counts = collections.Counter()
        self.requests = collections.deque(maxlen=RECORDED_MAX)
        self.recorded_bytes = 0
        self.is_recording = False

    def plan(self, method, count, kind, *arguments):
        with self.lock:
            if kind not in ("status", "delay", "half", "cut_before", "cut_after", "silence"):
                raise ValueError(f"there is no fault {kind}")
            self.planned.append([method, int(count), kind, arguments])

    def take(self, method):
        """The fault for a request of the method, as (kind, arguments), or (None, ())."""
        with self.lock:
            self.counts[method] += 1
            self.counts["calls"] += 1
            for fault in self.planned:
                if fault[0] in ("*", method):
                    fault[1] -= 1
                    if fault[1] <= 0:
                        self.planned.remove(fault)
                    return fault[2], fault[3]
        return None, ()

    def record(self, method, project, headers, text):
        if not self.is_recording:
            return
        with self.lock:
            self.requests.append((method, project, headers, text))
            self.recorded_bytes += len(text)
            while self.recorded_bytes > RECORDED_BYTES or len(self.requests) == RECORDED_MAX:
                self.recorded_bytes -= len(self.requests.popleft()[3])

    def bill(self, bill):
        with self.lock:
            self.counts.update(bill)

    @staticmethod
    def refusal(code):
        status, message = STATUSES[int(code)]
        return Refusal(status, message)
