"""Access tokens: given for service accounts' JWTs, for refresh tokens and by a metadata server, as
Google's do it, and demanded of requests where the server was told to.

    POST /token                                          RFC 7523 with RS256, and refresh tokens
    GET /computeMetadata/v1/instance/service-accounts/default/token, …/email, …/scopes
    GET /computeMetadata/v1/project/project-id
"""
import json
import secrets
import subprocess
import tempfile
import threading
import urllib.parse

from datastore_values import Refusal, read_bytes

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SKEW_S, JWT_LIFE_S = 300, 3600
SCOPES = {"https://www.googleapis.com/auth/datastore",
          "https://www.googleapis.com/auth/cloud-platform"}
METADATA = "/computeMetadata/v1/"
UNREASONABLE = ("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
                "timeframe. Check your iat and exp values in the JWT claim.")
UNAUTHENTICATED = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie "
    "or other valid authentication credential. See https://developers.google.com/identity/sign-in/"
    "web/devconsole-project.")


def error_info(reason, **metadata):
    return [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
             "domain": "googleapis.com", "metadata": {"service": "datastore.googleapis.com",
                                                      **metadata}}]


class Auth:
    """accounts: {email: file of its public key}. clock(): microseconds since 1970."""

    def __init__(self, accounts, refresh_tokens, project, clock):
        self.accounts, self.refresh_tokens = accounts, set(refresh_tokens)
        self.project, self.clock = project, clock
        self.lock = threading.Lock()
        self.is_demanded = False
        self.life_s = 3600
        self.tokens = {}  # token: (when it ends, its scopes), in seconds

    def now(self):
        return self.clock() / 1e6

    def check(self, headers):
        """A request's token is good, or the request is refused."""
        if not self.is_demanded:
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        with self.lock:
            found = self.tokens.get(token) if scheme == "Bearer" else None
        if found is None or found[0] <= self.now():
            raise Refusal("UNAUTHENTICATED", UNAUTHENTICATED, error_info(
                "CREDENTIALS_MISSING" if not scheme else
                "ACCESS_TOKEN_EXPIRED" if found else "ACCESS_TOKEN_TYPE_UNSUPPORTED"))
        if SCOPES.isdisjoint(found[1]):
            raise Refusal("PERMISSION_DENIED",
                          "Request had insufficient authentication scopes.",
                          error_info("ACCESS_TOKEN_SCOPE_INSUFFICIENT"))

    def revoke(self):
        with self.lock:
            self.tokens.clear()

    def issue(self, scopes):
        token = "ya29." + secrets.token_urlsafe(40)
        with self.lock:
            self.tokens[token] = (self.now() + self.life_s, set(scopes))
            while len(self.tokens) > 10000:
                del self.tokens[next(iter(self.tokens))]
        return {"access_token": token, "expires_in": self.life_s, "token_type": "Bearer"}

    # --- POST /token ------------------------------------------------------------------------------

    def token(self, body):
        """The answer as (code, JSON)."""
        form = {name: values[0] for name, values in urllib.parse.parse_qs(body.decode()).items()}
        if form.get("grant_type") == JWT_GRANT:
            return self.token_for_jwt(form.get("assertion", ""))
        if form.get("grant_type") == "refresh_token":
            if not form.get("client_id") or not form.get("client_secret"):
                return 401, {"error": "invalid_client",
                             "error_description": "The OAuth client was not found."}
            if form.get("refresh_token") not in self.refresh_tokens:
                return 400, {"error": "invalid_grant",
                             "error_description": "Token has been expired or revoked."}
            return 200, {**self.issue(SCOPES), "scope": " ".join(sorted(SCOPES))}
        return 400, {"error": "unsupported_grant_type",
                     "error_description": f"Invalid grant_type: {form.get('grant_type', '')}"}

    def token_for_jwt(self, assertion):
        def refused(why):
            return 400, {"error": "invalid_grant", "error_description": why}
        try:
            signed, _, signature = assertion.rpartition(".")
            header, claims = (json.loads(read_bytes(part, "jwt")) for part in signed.split("."))
            issued, expires = int(claims["iat"]), int(claims["exp"])
            email, audience = claims["iss"], claims["aud"]
            signature = read_bytes(signature, "jwt")
        except (Refusal, ValueError, KeyError, TypeError):
            return 400, {"error": "invalid_request", "error_description": "Bad Request"}
        if email not in self.accounts:
            return refused("Invalid grant: account not found")
        if header.get("alg") != "RS256" or not self.is_signed(signed, signature, email):
            return refused("Invalid JWT Signature.")
        if not audience.endswith("/token"):
            return refused("Invalid JWT: Failed audience check. The right audience is "
                           "https://oauth2.googleapis.com/token")
        now = self.now()
        if not (issued <= now + SKEW_S and now - SKEW_S <= expires <= issued + JWT_LIFE_S):
            return refused(UNREASONABLE)
        if not claims.get("scope"):
            return 400, {"error": "invalid_scope",
                         "error_description": "Invalid OAuth scope or ID token audience provided."}
        return 200, self.issue(claims["scope"].split())

    def is_signed(self, text, signature, email):
        with tempfile.NamedTemporaryFile() as file:
            file.write(signature)
            file.flush()
            done = subprocess.run(
                ["openssl", "dgst", "-sha256", "-verify", self.accounts[email], "-signature",
                 file.name], input=text.encode(), capture_output=True, check=False)
        return done.returncode == 0

    # --- The metadata server ----------------------------------------------------------------------

    def metadata(self, path, headers):
        """The answer as (code, JSON or text)."""
        if headers.get("metadata-flavor") != "Google":
            return 403, "Missing Metadata-Flavor:Google header.\n"
        path, _, parameters = path.removeprefix(METADATA).partition("?")
        match path.split("/"):
            case ["instance", "service-accounts", "default", "token"]:
                wanted = urllib.parse.parse_qs(parameters).get("scopes", [" ".join(SCOPES)])[0]
                return 200, self.issue(wanted.replace(",", " ").split())
            case ["instance", "service-accounts", "default", "email"]:
                return 200, next(iter(self.accounts), "default@metadata.example")
            case ["instance", "service-accounts", "default", "scopes"]:
                return 200, "\n".join(sorted(SCOPES)) + "\n"
            case ["project", "project-id"]:
                return 200, self.project
        return 404, "Not Found\n"
