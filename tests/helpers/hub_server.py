"""A small Hugging Face hub on the loopback: repositories of models, in memory."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

WRITE, READ = "hf_write", "hf_read"
REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
ROUTES = [
    ("POST", r"/api/repos/create", "create"),
    ("POST", r"/api/validate-yaml", "validate"),
    ("POST", rf"/api/models/{REPO}/preupload/(?P<rev>[^/]+)", "preupload"),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", "batch"),
    ("PUT", r"/lfs/(?P<oid>\w+)", "upload"),
    ("POST", rf"/api/models/{REPO}/commit/(?P<rev>[^/]+)", "commit"),
    ("GET", rf"/api/models/{REPO}(?:/revision/(?P<rev>[^/]+))?", "info"),
    ("GET", rf"/api/models/{REPO}/tree/(?P<rev>[^/]+)", "tree"),
    ("HEAD|GET", rf"/{REPO}/resolve/(?P<rev>[^/]+)/(?P<file>.+)", "resolve"),
    ("HEAD|GET", r"/cdn/(?P<oid>\w+)", "cdn"),
]


class HubServer(ThreadingHTTPServer):
    """Repositories by name; ``fault``: a function of route name and match, see ``Handler.run``."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos, self.blobs, self.requests, self.fault = {}, {}, [], None
        self.is_down = False
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        """Answer nothing more, also on open connections."""
        self.is_down = True
        self.shutdown()
        self.server_close()

    def commit(self, repo, files):
        """Add a commit with these files over those of the last one; None deletes."""
        commits = self.repos[repo]["commits"]
        files = {**(commits[-1][1] if commits else {}), **files}
        files = {name: content for name, content in files.items() if content is not None}
        oid = hashlib.sha1(repr((repo, len(commits), sorted(files.items()))).encode()).hexdigest()
        commits.append((oid, files))
        return oid


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        if self.server.is_down:
            self.close_connection = True
            return None
        path = unquote(self.path.partition("?")[0])
        for methods, pattern, name in ROUTES:
            if self.command in methods.split("|") and (match := re.fullmatch(pattern, path)):
                self.server.requests.append((self.command, name, match.groupdict()))
                return self.run(name, match.groupdict())
        self.server.requests.append((self.command, "unknown", {"path": path}))
        return self.fail(404, "EntryNotFound")

    do_GET = do_POST = do_PUT = do_HEAD = do_any

    def log_message(self, *arguments):
        pass

    def run(self, name, groups):
        self.cut = self.wrong = False
        fault = self.server.fault and self.server.fault(name, groups)
        if isinstance(fault, int):
            return self.fail(fault)
        self.cut, self.wrong = fault == "cut", fault == "wrong"
        return getattr(self, name)(**groups)

    @property
    def token(self):
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def reply(self, content=b"", status=200, **headers):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        if self.wrong:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if self.cut else content)
        if self.cut:
            self.close_connection = True

    def fail(self, status, code="", message=""):
        headers = {"X_Error_Code": code} if code else {}
        self.reply({"error": message or code}, status, **headers, X_Error_Message=message or code)

    def may_read(self, repo):
        found = self.server.repos.get(repo)
        if found is None or (found["private"] and self.token not in (READ, WRITE)):
            if self.token:
                self.fail(404, "RepoNotFound", "Repository not found")
            else:
                self.fail(401, "", "Invalid username or password.")
            return False
        return True

    def may_write(self):
        if self.token != WRITE:
            self.fail(403 if self.token == READ else 401, "", "You don't have the rights")
        return self.token == WRITE

    def files(self, repo, rev):
        """Commit and files of a revision, after an error None."""
        if not self.may_read(repo):
            return None
        commits = self.server.repos[repo]["commits"]
        found = commits[-1:] if rev in (None, "main") else [c for c in commits if c[0] == rev]
        if not found:
            self.fail(404, "RevisionNotFound", "Invalid rev id")
        return found[0] if found else None

    def create(self):
        if not self.may_write():
            return
        asked = json.loads(self.body)
        repo = f"{asked['organization']}/{asked['name']}"
        if repo in self.server.repos:
            return self.reply({"url": f"{self.server.url}/{repo}"}, 409)
        is_private = asked.get("private") or asked.get("visibility") == "private"
        self.server.repos[repo] = {"private": bool(is_private), "commits": []}
        self.server.commit(repo, {".gitattributes": b"*.safetensors filter=lfs\n"})
        self.reply({"url": f"{self.server.url}/{repo}"})

    def validate(self):
        from huggingface_hub import ModelCard  # after HF_ENDPOINT is set

        ModelCard(json.loads(self.body)["content"])  # raises if the header is no YAML
        self.reply({"errors": [], "warnings": []})

    def preupload(self, repo, rev):
        if self.may_write():
            files = [file["path"] for file in json.loads(self.body)["files"]]
            modes = {f: "lfs" if f.endswith(".safetensors") else "regular" for f in files}
            answers = [
                {"path": f, "uploadMode": m, "shouldIgnore": False} for f, m in modes.items()
            ]
            self.reply({"files": answers})

    def batch(self, repo):
        if self.may_write():
            objects = [
                {**o, "actions": {"upload": {"href": f"{self.server.url}/lfs/{o['oid']}"}}}
                for o in json.loads(self.body)["objects"]
            ]
            self.reply({"transfer": "basic", "objects": objects})

    def upload(self, oid):
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.server.blobs[oid] = self.body
        self.reply()

    def commit(self, repo, rev):
        if not self.may_write():
            return
        files = {}
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
        oid = self.server.commit(repo, files)
        self.reply({"commitUrl": f"{self.server.url}/{repo}/commit/{oid}", "commitOid": oid})

    def info(self, repo, rev):
        if found := self.files(repo, rev):
            siblings = [{"rfilename": name} for name in found[1]]
            is_private = self.server.repos[repo]["private"]
            self.reply({"id": repo, "sha": found[0], "private": is_private, "siblings": siblings})

    def tree(self, repo, rev):
        if found := self.files(repo, rev):
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": etag(content)}
                | ({"lfs": lfs(content)} if name.endswith(".safetensors") else {})
                for name, content in found[1].items()
            ]
            self.reply(entries)

    def resolve(self, repo, rev, file):
        if not (found := self.files(repo, rev)):
            return
        commit, files = found
        if file not in files:
            return self.fail(404, "EntryNotFound", "Entry not found")
        headers = {"X_Repo_Commit": commit}
        content = files[file]
        if not file.endswith(".safetensors"):
            return self.reply(content, ETag=f'"{etag(content)}"', **headers)
        oid = lfs(content)["oid"]
        self.server.blobs[oid] = content
        headers |= {"X_Linked_Etag": f'"{oid}"', "X_Linked_Size": str(len(content))}
        # Another host, which the client does not ask for the hub's headers.
        location = f"http://localhost:{self.server.server_port}/cdn/{oid}"
        self.reply(b"", 302, Location=location, **headers)

    def cdn(self, oid):
        self.reply(self.server.blobs[oid], ETag=f'"{oid}"')


def etag(content):
    """Git's hash of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs(content):
    oid = hashlib.sha256(content).hexdigest()
    return {"oid": oid, "size": len(content), "pointerSize": 134}
