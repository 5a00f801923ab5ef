"""What a test may want of the server beyond Datastore: faults, counts, a record of the requests.

A fault is for the next N requests of a method (or of any: *), and is one of

    status 429|500|503|… [after] [REASON]    that error; after: once it was applied. REASON: quota,
                                             disabled, billing, native (the database's mode)
    delay SECONDS                            the right answer, later
    half                                     half of the answer, then the connection is cut
    cut_before, cut_after                    cut without an answer: not applied, applied
    silence                                  no answer, not applied, the connection stays
"""
import collections
import threading

from datastore_auth import UNAUTHENTICATED, error_info
from datastore_values import Refusal

RECORDED_MAX, RECORDED_BYTES = 1000, 16 << 20
STATUSES = {
    400: ("FAILED_PRECONDITION", "Precondition check failed."),
    401: ("UNAUTHENTICATED", UNAUTHENTICATED),
    403: ("PERMISSION_DENIED", "Missing or insufficient permissions."),
    404: ("NOT_FOUND", "Not found."),
    409: ("ABORTED", "too much contention on these datastore entities. please try again."),
    429: ("RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Requests' and limit 'Requests "
          "per minute' of service 'datastore.googleapis.com'."),
    500: ("INTERNAL", "Internal error encountered."),
    503: ("UNAVAILABLE", "The service is currently unavailable."),
    504: ("DEADLINE_EXCEEDED", "The datastore operation timed out, or the data was temporarily "
          "unavailable."),
}
# More exactly: what Google says, and the reason in the details.
REASONS = {
    "quota": ("Quota exceeded.", "RATE_LIMIT_EXCEEDED"),
    "disabled": ("Cloud Datastore API has not been used in project {project} before or it is "
                 "disabled. Enable it by visiting https://console.developers.google.com/apis/api/"
                 "datastore.googleapis.com/overview?project={project} then retry. If you enabled "
                 "this API recently, wait a few minutes for the action to propagate to our systems "
                 "and retry.", "SERVICE_DISABLED"),
    "billing": ("This API method requires billing to be enabled. Please enable billing on project "
                "#{project} by visiting https://console.developers.google.com/billing/enable?"
                "project={project} then retry.", "BILLING_DISABLED"),
    "native": ("The Cloud Firestore API is not available for Firestore in Datastore Mode database "
               "or the Cloud Datastore API for Firestore in Native Mode database projects/{project}"
               "/databases/(default).", None),
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
            if kind == "status" and int(arguments[0]) not in STATUSES:
                raise ValueError(f"there is no error {arguments[0]}")
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
    def refusal(code, project, words):
        status, message = STATUSES[int(code)]
        for word in words:
            if word in REASONS:
                message, reason = REASONS[word]
                details = reason and error_info(reason, consumer=f"projects/{project}")
                return Refusal(status, message.format(project=project), details)
        return Refusal(status, message)
