#!/usr/bin/python3
"""A small OpenStack on loopback: Keystone, Placement and Nova with the fake driver, from Debian's packages
python3-keystone, python3-nova and python3-placement, and stand-ins for Glance and Neutron.

    cloud.py FOLDER        sets all up in FOLDER, prints a line of JSON, ends when its input does
    cloud.py FOLDER nova   (for itself) Nova's services in one process
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IMAGE = "11111111-2222-3333-4444-555555555555"
PASSWORD = "admin-password-of-the-test"
folder = pathlib.Path(sys.argv[1]).resolve()


def nova():
    """All of Nova in one process, over a message queue in memory."""
    os.environ["EVENTLET_NO_GREENDNS"] = "yes"
    import eventlet

    eventlet.monkey_patch()
    from nova import config, context, objects, service
    from nova.compute import rpcapi as compute
    from nova.conductor import rpcapi as conductor
    from nova.scheduler import rpcapi as scheduler
    import nova.conf
    from oslo_log import log

    config.parse_args(["nova", "--config-file", str(folder / "nova.conf"), "--log-file", str(folder / "nova.log")])
    log.setup(nova.conf.CONF, "nova")
    objects.register_all()
    objects.Service.enable_min_version_cache()
    for binary, topic in (
        ("nova-conductor", conductor.RPC_TOPIC),
        ("nova-scheduler", scheduler.RPC_TOPIC),
        ("nova-compute", compute.RPC_TOPIC),
    ):
        service.Service.create(binary=binary, topic=topic).start()
    from nova.objects import host_mapping

    host_mapping.discover_hosts(context.get_admin_context())
    api = service.WSGIService("osapi_compute")
    api.start()
    api.wait()


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class StandIn(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Glance(StandIn):
    def do_GET(self):
        image = {"id": IMAGE, "name": "tiny", "status": "active", "visibility": "public", "disk_format": "raw",
                 "container_format": "bare", "size": 1 << 20, "min_disk": 0, "min_ram": 0, "tags": [],
                 "protected": False, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
        path, _, query = self.path.partition("?")
        if path == f"/v2/images/{IMAGE}":
            self.answer(image)
        elif path.startswith("/v2/schemas"):
            keys = [*image, "owner", "checksum", "virtual_size", "file", "self", "schema", "direct_url", "locations"]
            known = {key: {"type": "string", "is_base": True} for key in keys}
            self.answer({"name": "image", "properties": known, "additionalProperties": {"type": "string"}})
        elif path == "/v2/images":
            self.answer({"images": [image] if "name=tiny" in query else []})
        elif path in ("/", "/versions"):
            link = {"rel": "self", "href": f"http://127.0.0.1:{self.server.server_port}/v2/"}
            self.answer({"versions": [{"id": "v2.9", "status": "CURRENT", "links": [link]}]})
        else:
            self.answer({}, 404)


class Neutron(StandIn):
    def do_GET(self):
        name = self.path.split("?")[0].rstrip("/").split("/")[-1].removesuffix(".json")
        self.answer({name.replace("-", "_"): []})


def write(name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return str(folder / name)


def run(*words, **more):
    with open(folder / "setup.log", "ab") as log:
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)


def start(*words, name, **more):
    log = open(folder / f"{name}.out", "ab")
    # They end when we do.
    parent = ("setpriv", "--pdeathsig", "KILL")
    return subprocess.Popen([*parent, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)


def ask(method, url, body=None, token=None, headers=()):
    request = urllib.request.Request(url, method=method, data=json.dumps(body).encode() if body else None)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("X-Auth-Token", token)
    for name, value in headers:
        request.add_header(name, value)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
        return answer.headers, json.loads(text) if text else None


def wait_for(url, process):
    until = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > until or process.poll() is not None:
                raise
            time.sleep(0.1)


def manage(*words):
    code = "import sys; sys.argv[0] = 'nova-manage'; from nova.cmd.manage import main; sys.exit(main())"
    run("/usr/bin/python3", "-c", code, "--config-file", str(folder / "nova.conf"), *words)


def journal(*names):
    """Without it, readers and writers of SQLite lock each other out."""
    import sqlite3

    for name in names:
        sqlite3.connect(folder / name).execute("PRAGMA journal_mode=WAL").close()


def main():
    keystone, placement, compute, glance, neutron = free_ports(5)
    for port, handler in ((glance, Glance), (neutron, Neutron)):
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    identity = f"http://127.0.0.1:{keystone}/v3"
    login = (f"auth_type = password\nauth_url = {identity}\nusername = admin\npassword = {PASSWORD}\n"
             "project_name = admin\nuser_domain_id = default\nproject_domain_id = default\nregion_name = RegionOne\n")
    for name in ("fernet", "credential"):
        (folder / name).mkdir(mode=0o700, parents=True)
    conf = write("keystone.conf", f"""[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[cache]
enabled = false
[identity]
password_hash_rounds = 4
""")
    user, group = str(os.getuid()), str(os.getgid())
    run("keystone-manage", "--config-file", conf, "db_sync")
    for what in ("fernet_setup", "credential_setup"):
        run("keystone-manage", "--config-file", conf, what, "--keystone-user", user, "--keystone-group", group)
    urls = [f"--bootstrap-{kind}-url={identity}/" for kind in ("admin", "internal", "public")]
    run("keystone-manage", "--config-file", conf, "bootstrap", f"--bootstrap-password={PASSWORD}",
        "--bootstrap-region-id=RegionOne", *urls)
    journal("keystone.db")
    process = start("keystone-wsgi-public", "--host", "127.0.0.1", "--port", str(keystone), "--", "--config-file",
                    conf, name="keystone")
    wait_for(identity, process)
    credentials = {"identity": {"methods": ["password"], "password": {"user": {
        "name": "admin", "domain": {"id": "default"}, "password": PASSWORD}}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}
    headers, _ = ask("POST", f"{identity}/auth/tokens", {"auth": credentials})
    token = headers["X-Subject-Token"]
    nova_url = f"http://127.0.0.1:{compute}/v2.1"
    for kind, url in (("compute", nova_url), ("placement", f"http://127.0.0.1:{placement}"),
                      ("image", f"http://127.0.0.1:{glance}"), ("network", f"http://127.0.0.1:{neutron}")):
        _, made = ask("POST", f"{identity}/services", {"service": {"type": kind, "name": kind}}, token)
        for interface in ("public", "internal", "admin"):
            ask("POST", f"{identity}/endpoints", {"endpoint": {"interface": interface, "url": url,
                "region_id": "RegionOne", "service_id": made["service"]["id"]}}, token)
    conf = write("placement/placement.conf", f"""[api]
auth_strategy = keystone
[keystone_authtoken]
{login}[placement_database]
connection = sqlite:///{folder}/placement.db
""")
    run("placement-manage", "--config-file", conf, "db", "sync")
    journal("placement.db")
    process = start("placement-api", "--host", "127.0.0.1", "--port", str(placement), "--", "--config-file", conf,
                    name="placement", env={**os.environ, "OS_PLACEMENT_CONFIG_DIR": str(folder / "placement")})
    wait_for(f"http://127.0.0.1:{placement}/", process)
    paste = write("api-paste.ini", """[composite:osapi_compute]
use = call:nova.api.openstack.urlmap:urlmap_factory
/: versions
/v2.1: compute
[composite:compute]
use = call:nova.api.auth:pipeline_factory_v21
keystone = faults token context app
[pipeline:versions]
pipeline = faults versions_app
[app:versions_app]
paste.app_factory = nova.api.openstack.compute.versions:Versions.factory
[app:app]
paste.app_factory = nova.api.openstack.compute:APIRouterV21.factory
[filter:faults]
paste.filter_factory = nova.api.openstack:FaultWrapper.factory
[filter:context]
paste.filter_factory = nova.api.auth:NovaKeystoneContext.factory
[filter:token]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
""")
    write("nova.conf", f"""[DEFAULT]
my_ip = 127.0.0.1
host = fakehost
state_path = {folder}/nova
transport_url = fake:/
compute_driver = fake.FakeDriver
osapi_compute_listen = 127.0.0.1
osapi_compute_listen_port = {compute}
osapi_compute_workers = 1
enabled_apis = osapi_compute
heal_instance_info_cache_interval = -1
[wsgi]
api_paste_config = {paste}
[api_database]
connection = sqlite:///{folder}/nova_api.db
[database]
connection = sqlite:///{folder}/nova.db
[keystone_authtoken]
{login}[placement]
{login}[keystone]
{login}[glance]
endpoint_override = http://127.0.0.1:{glance}
{login}[neutron]
endpoint_override = http://127.0.0.1:{neutron}
{login}[oslo_concurrency]
lock_path = {folder}/lock
[vnc]
enabled = false
[key_manager]
backend = nova.keymgr.conf_key_mgr.ConfKeyManager
""")
    manage("api_db", "sync")
    manage("cell_v2", "map_cell0", "--database_connection", f"sqlite:///{folder}/nova_cell0.db")
    manage("cell_v2", "create_cell", "--name", "cell1", "--transport-url", "fake:/",
           "--database_connection", f"sqlite:///{folder}/nova.db")
    manage("db", "sync")
    journal("nova_api.db", "nova.db", "nova_cell0.db")
    process = start("/usr/bin/python3", __file__, str(folder), "nova", name="nova")
    wait_for(f"http://127.0.0.1:{compute}/", process)
    flavor = {"name": "tiny", "ram": 64, "vcpus": 1, "disk": 1, "id": "42"}
    ask("POST", f"{nova_url}/flavors", {"flavor": flavor}, token)
    print(json.dumps({"auth_url": identity, "compute": nova_url, "password": PASSWORD, "token": token}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    os.environ["PYTHONWARNINGS"] = "ignore"
    nova() if sys.argv[2:] == ["nova"] else main()
