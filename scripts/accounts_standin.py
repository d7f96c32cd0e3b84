"""An organization's worth of AWS that costs little to ask: STS, Organizations and EC2 of many accounts, for bench_accounts.py.

    with AccountsStandin(REGIONS) as aws:
        aws.begin(Scenario(accounts=500))
        ...  # a program with aws.environment() calls it
        counts = aws.counts()

One port, TLS as with AWS, in a process of its own, so that its processor time is not that of the program. It is an HTTP proxy
as well: so the program asks for the host names of AWS, one for each service and region, and keeps its connections by host.
Which service and region are meant is read from the scope of the signature, and which account from the access key, which is
the one that AssumeRole gave out. Signatures are not checked, and nothing is refused but what a scenario says.

It needs `cryptography`, which moto brings: the certificate is made anew for each run.
"""

import asyncio
import collections
import dataclasses
import datetime
import functools
import ipaddress
import json
import multiprocessing
import re
import ssl
import tempfile
import time
from pathlib import Path

import botocore
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ec2_standin import INSTANCE, STOPPED, response

HUB = "123456789012"
PAGE, ACCOUNTS_A_PAGE = 1000, 20
UNIT = "r-ab12"  # the organization's root
PATH = f"o-a1b2c3d4e5/{UNIT}/ou-ab12-11111111/"
# In a template of a page: the target, which is an account and a region, as 12 digits.
TARGET = "TTTTTTTTTTTT"
STATES = {"stopping": 64, "stopped": 80}

SCOPE = re.compile(rb"(?i)\r\nauthorization:[^\r]*Credential=([^/]+)/\d+/([a-z0-9-]+)/([a-z0-9]+)/aws4_request")
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
ROLE = re.compile(rb"&RoleArn=arn%3Aaws%3Aiam%3A%3A(\d{12})%3Arole%2F")
NEXT = re.compile(rb"&NextToken=(\d+)")
ID = re.compile(rb"&InstanceId\.\d+=(i-[0-9a-f]{17})")

CREDENTIALS = """\
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser>\
<AssumedRoleId>AROA0123456789EXAMPLE:stopinator</AssumedRoleId>\
<Arn>arn:aws:sts::{account}:assumed-role/StopinatorSpoke/stopinator</Arn></AssumedRoleUser><Credentials>\
<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY</SecretAccessKey>\
<SessionToken>{token}</SessionToken><Expiration>{expiration}</Expiration></Credentials></AssumeRoleResult>\
<ResponseMetadata><RequestId>59dbff89-35bd-4eac-99ed-be587EXAMPLE</RequestId></ResponseMetadata></AssumeRoleResponse>"""
# As long as real ones are at the least: they are sent with every call.
TOKEN = "IQoJb3JpZ2luX2VjE" + "0aB1cD2eF3" * 80 + "="

IDENTITY = """\
<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>\
<Arn>arn:aws:sts::{account}:assumed-role/stopinator/stopinator</Arn><UserId>AROA0123456789EXAMPLE:stopinator</UserId>\
<Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"""

NOT_ENTERED = """\
<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>\
User: arn:aws:sts::123456789012:assumed-role/stopinator/stopinator is not authorized to perform: sts:AssumeRole on resource: \
arn:aws:iam::{account}:role/StopinatorSpoke</Message></Error><RequestId>1</RequestId></ErrorResponse>"""


def account_id(number: int) -> str:
    """The account of this number; 0 is the hub."""
    return f"{111_000_000_000 + number}" if number else HUB


def account_number(account: str) -> int:
    return 0 if account == HUB else int(account) - 111_000_000_000


@dataclasses.dataclass
class Scenario:
    """What there is, and what is wrong with it. A place is an account's number and a region's."""

    accounts: int  # with the hub
    latency: float = 0.15  # seconds to each answer
    due: int = 0  # running instances with the tag `true` in each place, and in some places another number
    due_in: dict = dataclasses.field(default_factory=dict)
    kept: int = 0  # the same, with the tag `false`
    kept_in: dict = dataclasses.field(default_factory=dict)
    takes: float = 5  # seconds until an instance has stopped
    denied: frozenset = frozenset()  # accounts by number: AssumeRole is refused
    silent: frozenset = frozenset()  # EC2 takes calls and never answers
    throttled: frozenset = frozenset()  # EC2 refuses every call


@dataclasses.dataclass
class Counts:
    """What was asked since the scenario began."""

    calls: collections.Counter  # by account, region and action; AssumeRole by the account that is entered
    stopped: collections.Counter  # instances, by account
    last_call: dict  # when, by account
    first_stop: float | None = None
    entered_in_a_second: int = 0  # the most calls of AssumeRole in any second
    most_at_once: int = 0  # calls without an answer yet
    open: int = 0  # connections now, and the most at any moment
    most_open: int = 0
    handshakes: int = 0
    hosts: frozenset = frozenset()  # those that the proxy was asked for
    late: float = 0.0  # how much later than it should be an answer was, at the worst
    cpu: float = 0.0  # seconds of this process, since it began

    def of(self, action: str) -> collections.Counter:
        """The calls of an action, by account."""
        counter = collections.Counter()
        for (account, _, name), count in self.calls.items():
            if name == action:
                counter[account] += count
        return counter


class AccountsStandin:
    """The stand-in's process, seen from that of the benchmark."""

    def __init__(self, regions: list):
        self.regions = regions

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        self.certificate_authority, chain = make_certificates(Path(self._folder.name), self.regions)
        # With AWS's roots beside its own, as a program has them in Lambda.
        self.bundle = Path(self._folder.name, "roots.pem")
        roots = Path(botocore.__file__).with_name("cacert.pem").read_text()
        self.bundle.write_text(roots + self.certificate_authority.read_text())
        # Not forked: the benchmark has threads.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, chain, self.regions), daemon=True)
        self._process.start()
        self.port = self._pipe.recv()
        return self

    def __exit__(self, *_):
        self._pipe.send(None)
        self._process.join(5)
        self._process.kill()
        self._folder.cleanup()

    def begin(self, scenario: Scenario) -> None:
        """From now on this is so, and everything is counted anew; connections stay open."""
        self._pipe.send(scenario)
        self._pipe.recv()

    def counts(self) -> Counts:
        self._pipe.send("counts")
        return self._pipe.recv()

    def environment(self, by_endpoint: bool = False) -> dict:
        """How a program gets here: by the proxy, or by one endpoint for all services and regions."""
        if by_endpoint:
            return {"AWS_ENDPOINT_URL": f"https://localhost:{self.port}", "SSL_CERT_FILE": str(self.bundle)}
        return {"HTTPS_PROXY": f"http://127.0.0.1:{self.port}", "SSL_CERT_FILE": str(self.bundle)}


def make_certificates(folder: Path, regions: list) -> tuple[Path, Path]:
    """An authority for this run, and the certificate of all hosts with its key, as AWS has them: RSA, 2,048 bits."""
    now = datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A throw-away authority")])
    authority, key = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    hosts = ["localhost", "*.amazonaws.com", *(f"*.{region}.amazonaws.com" for region in sorted({*regions, "us-east-1"}))]

    def builder(subject, of):
        whole = x509.CertificateBuilder().issuer_name(name).subject_name(subject).public_key(of.public_key())
        whole = whole.serial_number(x509.random_serial_number())
        return whole.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=2))

    root = builder(name, authority).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    # Python's own checks ask for all of these.
    usage = dict.fromkeys(
        ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"], False,
    )
    root = root.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    root = root.add_extension(identifier, critical=False).sign(authority, hashes.SHA256())
    leaf = builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), key)
    names = [*map(x509.DNSName, hosts), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = leaf.add_extension(x509.SubjectAlternativeName(names), critical=False)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    known = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    leaf = leaf.add_extension(known, critical=False).sign(authority, hashes.SHA256())

    pem = serialization.Encoding.PEM
    (trusted := folder / "authority.pem").write_bytes(root.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (chain := folder / "chain.pem").write_bytes(leaf.public_bytes(pem) + private)
    return trusted, chain


# -- in the stand-in's own process --


def serve(pipe, chain: Path, regions: list) -> None:
    asyncio.run(Aws(pipe, chain, regions).serve())


class Aws:
    def __init__(self, pipe, chain: Path, regions: list):
        self.pipe = pipe
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(chain)
        self.region_numbers = {region: number for number, region in enumerate(regions)}
        self.open = self.at_once = 0
        self.begin(Scenario(accounts=1))

    async def serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.over = asyncio.Event()
        server = await self.loop.create_server(lambda: Connection(self), "127.0.0.1", 0, backlog=2048)
        self.loop.add_reader(self.pipe.fileno(), self.told)
        self.pipe.send(server.sockets[0].getsockname()[1])
        await self.over.wait()

    def told(self) -> None:
        try:
            order = self.pipe.recv()
        except EOFError:
            order = None
        if order is None:
            self.over.set()
        elif order == "counts":
            self.counts.open, self.counts.cpu = self.open, time.process_time()
            self.pipe.send(self.counts)
        else:
            self.begin(order)
            self.pipe.send(None)

    def begin(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.counts = Counts(collections.Counter(), collections.Counter(), {}, most_open=self.open)
        self.entered = collections.deque()  # when, within a second
        self.stopped_at = {}  # by instance
        launched = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        self.launch_time = launched.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.page.cache_clear()

    def answer(self, head: bytes, body: bytes) -> bytes | None:
        """The whole answer to a request; None is none at all."""
        now = self.loop.time()
        scope = SCOPE.search(head)
        if not scope:
            return http(403, b"<Response><Errors><Error><Code>MissingAuthenticationToken</Code></Error></Errors></Response>")
        key, region, service = (part.decode() for part in scope.groups())
        caller = key[4:16] if key.startswith("ASIA") else HUB
        if service == "organizations":
            self.count(now, caller, region, "ListAccounts")
            return self.list_accounts(json.loads(body or b"{}"))
        action = ACTION.search(body)[1].decode()
        if service == "sts":
            if action == "AssumeRole":
                return self.assume_role(now, region, ROLE.search(body)[1].decode())
            self.count(now, caller, region, action)
            return http(200, IDENTITY.format(account=caller).encode())
        self.count(now, caller, region, action)
        account = account_number(caller)
        if account in self.scenario.silent:
            return None
        if account in self.scenario.throttled:
            return ec2_error(503, "RequestLimitExceeded", "Request limit exceeded.")
        place = account, self.region_numbers[region]
        match action:
            case "DescribeInstances":
                ids = [found.decode() for found in ID.findall(body)]
                return self.describe_some(place, ids) if ids else self.describe(place, int((NEXT.search(body) or [0, 0])[1]))
            case "StopInstances":
                return self.stop(now, caller, place, [found.decode() for found in ID.findall(body)])
        return ec2_error(400, "InvalidAction", f"The action {action} is not valid here")

    def count(self, now: float, account: str, region: str, action: str) -> None:
        self.counts.calls[account, region, action] += 1
        self.counts.last_call[account] = now

    def assume_role(self, now: float, region: str, account: str) -> bytes:
        self.count(now, account, region, "AssumeRole")
        self.entered.append(now)
        while self.entered[0] <= now - 1:
            self.entered.popleft()
        self.counts.entered_in_a_second = max(self.counts.entered_in_a_second, len(self.entered))
        if account_number(account) in self.scenario.denied:
            return http(403, NOT_ENTERED.format(account=account).encode())
        in_an_hour = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        expiration = in_an_hour.strftime("%Y-%m-%dT%H:%M:%SZ")
        key = f"ASIA{account}OKEY"
        return http(200, CREDENTIALS.format(account=account, key=key, token=TOKEN, expiration=expiration).encode())

    def list_accounts(self, asked: dict) -> bytes:
        # One more than there are, suspended, which nobody may try to enter.
        first, numbers = int(asked.get("NextToken", 0)), range(self.scenario.accounts + 1)
        page = numbers[first : first + min(ACCOUNTS_A_PAGE, asked.get("MaxResults", ACCOUNTS_A_PAGE))]
        accounts = []
        for number in page:
            account, state = account_id(number), "ACTIVE" if number < self.scenario.accounts else "SUSPENDED"
            accounts.append({
                "Id": account, "Arn": f"arn:aws:organizations::{HUB}:account/o-a1b2c3d4e5/{account}",
                "Email": f"{account}@example.com", "Name": f"workload-{number}", "State": state, "Status": state,
                "JoinedMethod": "CREATED", "JoinedTimestamp": 1700000000.0, "Paths": [PATH],
            })
        answer = {"Accounts": accounts} | ({"NextToken": str(page.stop)} if page.stop < numbers.stop else {})
        return http(200, json.dumps(answer).encode(), "application/x-amz-json-1.1")

    def describe(self, place: tuple, first: int) -> bytes:
        due = self.scenario.due_in.get(place, self.scenario.due)
        kept = self.scenario.kept_in.get(place, self.scenario.kept)
        numbers = range(due + kept)[first : first + PAGE]
        target = f"{place[0] * 64 + place[1]:012x}"
        if numbers.start < due and self.stopped_at:
            items = "".join(self.item(f"i-{target}{number:05x}", number < due) for number in numbers)
            return http(200, described(items, numbers.stop, due + kept))
        return http(200, self.page(due, kept, numbers.start).replace(TARGET.encode(), target.encode()))

    @functools.lru_cache(maxsize=16)
    def page(self, due: int, kept: int, first: int) -> bytes:
        numbers = range(due + kept)[first : first + PAGE]
        items = "".join(self.item(f"i-{TARGET}{number:05x}", number < due) for number in numbers)
        return described(items, numbers.stop, due + kept)

    def describe_some(self, place: tuple, ids: list) -> bytes:
        if unknown := [id for id in ids if not self.is_in(place, id)]:
            return ec2_error(400, "InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(unknown)}' do not exist")
        due = self.scenario.due_in.get(place, self.scenario.due)
        return http(200, described("".join(self.item(id, int(id[14:], 16) < due) for id in ids), 0, 0))

    def item(self, id: str, is_due: bool) -> str:
        """One instance in a reservation of its own."""
        number, state = int(id[14:], 16), "running"
        if (since := self.stopped_at.get(id)) is not None:
            state = "stopped" if self.loop.time() - since >= self.scenario.takes else "stopping"
        instance = INSTANCE.format(
            id=id, number=number, hex=id[2:], a=number // 250 % 250, b=number % 250 + 4, tag="true" if is_due else "false",
            launch_time=self.launch_time,
        )
        if state != "running":
            is_now = f"<code>{STATES[state]}</code><name>{state}</name>"
            instance = instance.replace("<code>16</code><name>running</name>", is_now)
        return f"<item><reservationId>r-{id[2:]}</reservationId><groupSet/><instancesSet>{instance}</instancesSet></item>"

    def stop(self, now: float, account: str, place: tuple, ids: list) -> bytes:
        if unknown := [id for id in ids if not self.is_in(place, id)]:
            return ec2_error(400, "InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(unknown)}' do not exist")
        if self.counts.first_stop is None:
            self.counts.first_stop = now
        for id in ids:
            if id not in self.stopped_at:
                self.stopped_at[id] = now
                self.counts.stopped[account] += 1
        items = "".join(STOPPED.format(id=id) for id in ids)
        return http(200, response("StopInstances", f"<instancesSet>{items}</instancesSet>"))

    def is_in(self, place: tuple, id: str) -> bool:
        """Whether there is such an instance: no account sees those of another one."""
        there = self.scenario.due_in.get(place, self.scenario.due) + self.scenario.kept_in.get(place, self.scenario.kept)
        return int(id[2:14], 16) == place[0] * 64 + place[1] and int(id[14:], 16) < there


def http(status: int, body: bytes, content_type: str = "text/xml;charset=UTF-8") -> bytes:
    return f"HTTP/1.1 {status} -\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def ec2_error(status: int, code: str, message: str) -> bytes:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return http(status, f"<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>".encode())


def described(items: str, stop: int, of: int) -> bytes:
    more = f"<nextToken>{stop}</nextToken>" if stop < of else ""
    return response("DescribeInstances", f"<reservationSet>{items}</reservationSet>{more}")


class Connection(asyncio.Protocol):
    """One connection: perhaps a CONNECT in the clear, then TLS, then requests that wait for each other's answers.

    TLS is done here, in memory: asyncio's own costs twice the processor time.
    """

    def __init__(self, aws: Aws):
        self.aws = aws
        self.plain, self.request = bytearray(), bytearray()
        self.tls = None
        self.is_secure = False

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.aws.open += 1
        self.aws.counts.most_open = max(self.aws.counts.most_open, self.aws.open)

    def connection_lost(self, _) -> None:
        self.aws.open -= 1

    def data_received(self, data: bytes) -> None:
        if self.tls is None:
            self.plain += data
            if self.plain.startswith(b"CONNECT ") and self.plain.endswith(b"\r\n\r\n"):
                self.aws.counts.hosts |= {self.plain.split(b" ")[1].partition(b":")[0].decode()}
                self.plain.clear()
                self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
                return
            if not self.plain.startswith(b"\x16"):  # the first byte of TLS
                return
            data = bytes(self.plain)
            self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = self.aws.tls.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.incoming.write(data)
        try:
            if not self.is_secure:
                self.tls.do_handshake()
                self.is_secure = True
                self.aws.counts.handshakes += 1
            while chunk := self.tls.read(65536):
                self.request += chunk
            self.transport.close()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.transport.close()
            return
        self.flush()
        self.take_request()

    def flush(self) -> None:
        if self.outgoing.pending and not self.transport.is_closing():
            self.transport.write(self.outgoing.read())

    def take_request(self) -> None:
        end = self.request.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.request[: end + 2])
        length = LENGTH.search(head)
        stop = end + 4 + (int(length[1]) if length else 0)
        if len(self.request) < stop:
            return
        body = bytes(self.request[end + 4 : stop])
        del self.request[:stop]
        answer = self.aws.answer(head, body)
        if answer is not None:
            loop, counts = self.aws.loop, self.aws.counts
            self.aws.at_once += 1
            counts.most_at_once = max(counts.most_at_once, self.aws.at_once)
            due = loop.time() + self.aws.scenario.latency
            loop.call_at(due, self.send, answer, due)

    def send(self, answer: bytes, due: float) -> None:
        self.aws.at_once -= 1
        self.aws.counts.late = max(self.aws.counts.late, self.aws.loop.time() - due)
        if self.transport.is_closing():
            return
        self.tls.write(answer)
        self.flush()
        self.take_request()
