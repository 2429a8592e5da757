#!/usr/bin/python3
"""A small OpenStack on loopback: Keystone, Placement and Nova with the fake driver, from Debian's packages,
and stand-ins for Glance and Neutron.

    cloud.py FOLDER FRONT   sets all up in FOLDER, prints a line of JSON, ends with all it started when its input
                            does; FRONT is what the catalog says of Nova's public endpoint
    cloud.py FOLDER         (for itself) Nova's services in one process, once its input has a line

While there is a file FOLDER/down, the database of Nova's cell does not answer its API. Servers of the flavor `breaks`
fail while they are built, and for those of the flavor `vast` there is no room.
"""

import base64
import concurrent.futures
import importlib.util
import json
import os
import pathlib
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IMAGE = "11111111-2222-3333-4444-555555555555"
PASSWORD = "admin-password-of-the-test"
CELL = "nova.db"
# The most servers on one page of a listing.
PAGE = 6
PACKAGES = {"keystone": "python3-keystone", "nova": "python3-nova", "placement": "python3-placement"}
folder = pathlib.Path(sys.argv[1]).resolve()
children = []


def nova():
    """All of Nova in one process, over a message queue in memory."""
    os.environ["EVENTLET_NO_GREENDNS"] = "yes"
    import eventlet

    eventlet.monkey_patch()
    import nova.conf
    from nova import config, context, exception, objects, service
    from nova.cmd import manage
    from nova.compute import rpcapi as compute
    from nova.conductor import rpcapi as conductor
    from nova.objects import host_mapping
    from nova.scheduler import rpcapi as scheduler
    from nova.virt.fake import FakeDriver
    from oslo_db.exception import DBConnectionError
    from oslo_log import log
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    config.parse_args(["nova", "--config-file", str(folder / "nova.conf"), "--log-file", str(folder / "nova.log")])
    log.setup(nova.conf.CONF, "nova")
    objects.register_all()
    manage.ApiDbCommands().sync()
    cells = manage.CellV2Commands()
    cells.map_cell0(f"sqlite:///{folder}/nova_cell0.db")
    # The API comes to the cell by a path of its own, so that an outage is between the two.
    path = f"{folder}/./{CELL}"
    cells.create_cell("cell1", f"sqlite:///{path}", "fake:/")
    manage.DbCommands().sync()
    sys.stdin.readline()

    def outage(connection, *_):
        if connection.engine.url.database == path and (folder / "down").exists():
            raise DBConnectionError

    event.listen(Engine, "before_cursor_execute", outage)
    build = FakeDriver.spawn

    def spawn(self, request, instance, *rest, **more):
        if instance.flavor.name == "breaks":
            raise exception.BuildAbortException(instance_uuid=instance.uuid, reason="it is to break")
        return build(self, request, instance, *rest, **more)

    FakeDriver.spawn = spawn
    objects.Service.enable_min_version_cache()
    for binary, topic in (
        ("nova-conductor", conductor.RPC_TOPIC),
        ("nova-scheduler", scheduler.RPC_TOPIC),
        ("nova-compute", compute.RPC_TOPIC),
    ):
        service.Service.create(binary=binary, topic=topic).start()
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


def database(name):
    """A file for SQLite. Without the write-ahead log, readers and writers lock each other out."""
    sqlite3.connect(folder / name).execute("PRAGMA journal_mode=WAL").close()
    return f"connection = sqlite:///{folder / name}\nsqlite_synchronous = false\n"


def start(*words, name, stdin=subprocess.DEVNULL, **more):
    """Starts a process that ends with the thread that started it."""
    with open(folder / f"{name}.out", "ab") as log:
        words = ("setpriv", "--pdeathsig", "KILL", *words)
        process = subprocess.Popen(words, stdin=stdin, stdout=log, stderr=log, **more)
    children.append(process)
    return process


def run(*words, name):
    if start(*words, name=name).wait() != 0:
        raise RuntimeError(f"{' '.join(words)}: {(folder / name).with_suffix('.out').read_text()}")


def ask(method, url, body=None, token=None):
    request = urllib.request.Request(url, method=method, data=json.dumps(body).encode() if body else None)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("X-Auth-Token", token)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
        return answer.headers, json.loads(text) if text else None


def wait_for(url, process, name):
    until = time.monotonic() + 180
    while True:
        try:
            return urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError(f"{name} does not serve: {(folder / name).with_suffix('.out').read_text()}")
            time.sleep(0.05)


def end():
    """Ends with all that was started."""
    for child in children:
        child.kill()
        child.wait()
    os._exit(0)


def watch():
    sys.stdin.read()
    end()


def say(**what):
    print(json.dumps(what), flush=True)


def configure(keystone, placement, compute, glance, neutron):
    identity = f"http://127.0.0.1:{keystone}/v3"
    login = (f"auth_type = password\nauth_url = {identity}\nusername = admin\npassword = {PASSWORD}\n"
             "project_name = admin\nuser_domain_id = default\nproject_domain_id = default\nregion_name = RegionOne\n")
    # A token that was revoked is refused after a second.
    guard = f"[keystone_authtoken]\ntoken_cache_time = 1\n{login}"
    for name in ("fernet", "credential"):
        for number in range(2):
            write(f"{name}/{number}", base64.urlsafe_b64encode(os.urandom(32)).decode())
        (folder / name).chmod(0o700)
    # Without its cache, Keystone needs a second of processor time for each token that it looks at.
    write("keystone.conf", f"""[DEFAULT]
log_file = {folder}/keystone.log
[database]
{database("keystone.db")}[token]
provider = fernet
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[cache]
enabled = true
backend = dogpile.cache.memory
[identity]
password_hash_rounds = 4
""")
    write("placement/placement.conf", f"""[api]
auth_strategy = keystone
{guard}[placement_database]
{database("placement.db")}""")
    database("nova_cell0.db")
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
[api]
max_limit = {PAGE}
[wsgi]
api_paste_config = {paste}
[api_database]
{database("nova_api.db")}[database]
{database(CELL)}{guard}[placement]
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
    return identity


def set_up_keystone(identity):
    conf = str(folder / "keystone.conf")
    run("keystone-manage", "--config-file", conf, "db_sync", name="keystone-manage")
    urls = [f"--bootstrap-{kind}-url={identity}/" for kind in ("admin", "internal", "public")]
    run("keystone-manage", "--config-file", conf, "bootstrap", f"--bootstrap-password={PASSWORD}",
        "--bootstrap-region-id=RegionOne", *urls, name="keystone-manage")


def set_up_placement():
    conf = str(folder / "placement" / "placement.conf")
    run("placement-manage", "--config-file", conf, "db", "sync", name="placement-manage")


def catalog(identity, token, services):
    for kind, public, internal in services:
        _, made = ask("POST", f"{identity}/services", {"service": {"type": kind, "name": kind}}, token)
        for interface, url in (("public", public), ("internal", internal)):
            ask("POST", f"{identity}/endpoints", {"endpoint": {"interface": interface, "url": url,
                "region_id": "RegionOne", "service_id": made["service"]["id"]}}, token)


def main(front):
    keystone, placement, compute, glance, neutron = ports = free_ports(5)
    for port, handler in ((glance, Glance), (neutron, Neutron)):
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    identity = configure(*ports)
    nova_itself = start("/usr/bin/python3", __file__, str(folder), name="nova", stdin=subprocess.PIPE)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        placement_is_set_up = pool.submit(set_up_placement)
        pool.submit(set_up_keystone, identity).result()
        keystone_itself = start("keystone-wsgi-public", "--host", "127.0.0.1", "--port", str(keystone), "--",
                                "--config-file", str(folder / "keystone.conf"), name="keystone")
        placement_is_set_up.result()
    conf = folder / "placement" / "placement.conf"
    placement_itself = start("placement-api", "--host", "127.0.0.1", "--port", str(placement), "--", "--config-file",
                             str(conf), name="placement", env={**os.environ, "OS_PLACEMENT_CONFIG_DIR": str(conf.parent)})
    wait_for(identity, keystone_itself, "keystone")
    credentials = {"identity": {"methods": ["password"], "password": {"user": {
        "name": "admin", "domain": {"id": "default"}, "password": PASSWORD}}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}
    headers, about = ask("POST", f"{identity}/auth/tokens", {"auth": credentials})
    token, about = headers["X-Subject-Token"], about["token"]
    behind = f"http://127.0.0.1:{compute}/v2.1"
    catalog(identity, token, [("compute", front, behind)] + [(kind, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
            for kind, port in (("placement", placement), ("image", glance), ("network", neutron))])
    wait_for(f"http://127.0.0.1:{placement}/", placement_itself, "placement")
    nova_itself.stdin.write(b"go\n")
    nova_itself.stdin.flush()
    wait_for(f"http://127.0.0.1:{compute}/", nova_itself, "nova")
    for name, number, disk in (("tiny", "42", 1), ("breaks", "43", 1), ("vast", "44", 10_000_000)):
        flavor = {"name": name, "ram": 64, "vcpus": 1, "disk": disk, "id": number}
        ask("POST", f"{behind}/flavors", {"flavor": flavor}, token)
    say(auth_url=identity, compute=behind, password=PASSWORD, token=token, project=about["project"]["id"],
        user=about["user"]["id"], image=IMAGE, page=PAGE, nova=nova_itself.pid)


if __name__ == "__main__":
    os.environ["PYTHONWARNINGS"] = "ignore"
    if len(sys.argv) == 2:
        nova()
        sys.exit()
    watcher = threading.Thread(target=watch)
    watcher.start()
    missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        say(missing=missing)
    else:
        try:
            main(sys.argv[2])
        except Exception as error:
            say(error=f"{type(error).__name__}: {error}")
    watcher.join()
