"""An EC2 that costs nothing to ask: prebuilt DescribeInstances pages, for bench.py.

It keeps no state: whatever was stopped is running again in the next answer, so every
invocation has the same work to do. What it was asked to stop it remembers.
"""

import datetime
import time
import urllib.parse

from runtime_api import Handler, Server

PAGE = 1000
DUE = 10  # instances to stop in every fleet; the others are opted out

# Without the blanks between elements that EC2 sends: about 3.3 KB an instance.
INSTANCE = """\
<item><instanceId>{id}</instanceId><imageId>ami-0c9c942bd7bf113a2</imageId>\
<instanceState><code>16</code><name>running</name></instanceState>\
<privateDnsName>ip-10-0-{a}-{b}.ap-northeast-2.compute.internal</privateDnsName><dnsName/><reason/>\
<keyName>team</keyName><amiLaunchIndex>0</amiLaunchIndex><productCodes/>\
<instanceType>m7i.large</instanceType><launchTime>{launch_time}</launchTime>\
<placement><availabilityZone>ap-northeast-2a</availabilityZone><groupName/><tenancy>default</tenancy></placement>\
<monitoring><state>disabled</state></monitoring><subnetId>subnet-0a1b2c3d4e5f60718</subnetId>\
<vpcId>vpc-0123456789abcdef0</vpcId><privateIpAddress>10.0.{a}.{b}</privateIpAddress>\
<sourceDestCheck>true</sourceDestCheck>\
<groupSet><item><groupId>sg-0fedcba9876543210</groupId><groupName>web</groupName></item></groupSet>\
<architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType>\
<rootDeviceName>/dev/xvda</rootDeviceName>\
<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-{hex}</volumeId>\
<status>attached</status><attachTime>{launch_time}</attachTime>\
<deleteOnTermination>true</deleteOnTermination></ebs></item></blockDeviceMapping>\
<virtualizationType>hvm</virtualizationType><clientToken>{hex}-{hex}</clientToken>\
<tagSet><item><key>Name</key><value>worker-{number}</value></item>\
<item><key>Stopinator</key><value>{tag}</value></item>\
<item><key>Team</key><value>platform</value></item></tagSet>\
<hypervisor>xen</hypervisor>\
<networkInterfaceSet><item><networkInterfaceId>eni-{hex}</networkInterfaceId>\
<subnetId>subnet-0a1b2c3d4e5f60718</subnetId><vpcId>vpc-0123456789abcdef0</vpcId><description/>\
<ownerId>123456789012</ownerId><status>in-use</status><macAddress>02:00:00:00:{a:02x}:{b:02x}</macAddress>\
<privateIpAddress>10.0.{a}.{b}</privateIpAddress>\
<sourceDestCheck>true</sourceDestCheck>\
<groupSet><item><groupId>sg-0fedcba9876543210</groupId><groupName>web</groupName></item></groupSet>\
<attachment><attachmentId>eni-attach-{hex}</attachmentId><deviceIndex>0</deviceIndex>\
<status>attached</status><attachTime>{launch_time}</attachTime>\
<deleteOnTermination>true</deleteOnTermination></attachment>\
<privateIpAddressesSet><item><privateIpAddress>10.0.{a}.{b}</privateIpAddress>\
<primary>true</primary></item></privateIpAddressesSet>\
<interfaceType>interface</interfaceType></item></networkInterfaceSet>\
<iamInstanceProfile><arn>arn:aws:iam::123456789012:instance-profile/worker</arn>\
<id>AIPA0123456789EXAMPLE</id></iamInstanceProfile><ebsOptimized>true</ebsOptimized>\
<enaSupport>true</enaSupport><cpuOptions><coreCount>1</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>\
<hibernationOptions><configured>false</configured></hibernationOptions>\
<metadataOptions><state>applied</state><httpTokens>required</httpTokens>\
<httpPutResponseHopLimit>2</httpPutResponseHopLimit><httpEndpoint>enabled</httpEndpoint>\
<httpProtocolIpv6>disabled</httpProtocolIpv6><instanceMetadataTags>disabled</instanceMetadataTags>\
</metadataOptions><enclaveOptions><enabled>false</enabled></enclaveOptions><bootMode>uefi-preferred</bootMode>\
<maintenanceOptions><autoRecovery>default</autoRecovery></maintenanceOptions>\
<platformDetails>Linux/UNIX</platformDetails>\
<usageOperation>RunInstances</usageOperation><operator><managed>false</managed></operator></item>"""

STOPPED = """\
<item><instanceId>{id}</instanceId><currentState><code>64</code><name>stopping</name></currentState>\
<previousState><code>16</code><name>running</name></previousState></item>"""


IDENTITY = b"""\
<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>\
<Arn>arn:aws:iam::123456789012:user/ops</Arn><UserId>AIDA</UserId><Account>123456789012</Account>\
</GetCallerIdentityResult></GetCallerIdentityResponse>"""


def response(action: str, content: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<requestId>59dbff89-35bd-4eac-99ed-be587EXAMPLE</requestId>{content}</{action}Response>"
    ).encode()


class Ec2Standin:
    """`size` instances, DUE of them to be stopped, spread evenly; the tag of the others is `other`."""

    def __init__(self, size: int, other: str = "false"):
        self.due = {instance_id(number * (size // DUE)) for number in range(DUE)}
        self.stopped: list[list[str]] = []  # the ids of each StopInstances call
        self.first_page = self.last_page = None  # when each was given out last
        a_day_ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        launch_time = a_day_ago.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self._pages = [
            page(range(start, min(start + PAGE, size)), self.due, launch_time, size, other)
            for start in range(0, size, PAGE)
        ]

    def __enter__(self):
        standin = self

        class Ec2Handler(Handler):
            def do_POST(self):
                status, body = standin._answer(urllib.parse.parse_qs(self.body().decode()))
                self.answer(status, "text/xml;charset=UTF-8", body)

        self._server = Server(Ec2Handler)
        self.endpoint = f"http://{self._server.address}"
        return self

    def __exit__(self, *_):
        self._server.close()

    def _answer(self, query: dict) -> tuple[int, bytes]:
        match query:
            case {
                "Action": ["DescribeInstances"],
                "Filter.1.Name": ["tag-key"],
                "Filter.1.Value.1": ["Stopinator"],
                "MaxResults": ["1000"],  # PAGE
            }:
                number = int(query.get("NextToken", ["0"])[0])
                now = time.monotonic()
                if number == 0:
                    self.first_page = now
                self.last_page = now
                return 200, self._pages[number]
            case {"Action": ["GetCallerIdentity"]}:
                return 200, IDENTITY
            case {"Action": ["StopInstances"]}:
                ids = [values[0] for name, values in query.items() if name.startswith("InstanceId.")]
                self.stopped.append(ids)
                items = "".join(STOPPED.format(id=id) for id in ids)
                return 200, response("StopInstances", f"<instancesSet>{items}</instancesSet>")
        # Not the job that is measured.
        error = f"<Code>InvalidParameterValue</Code><Message>{sorted(query)}</Message>"
        return 400, f"<Response><Errors><Error>{error}</Error></Errors><RequestID>1</RequestID></Response>".encode()


def instance_id(number: int) -> str:
    return f"i-{number:017x}"


def page(numbers: range, due: set, launch_time: str, size: int, other: str) -> bytes:
    instances = [
        INSTANCE.format(
            id=instance_id(number),
            number=number,
            hex=f"{number:017x}",
            a=number // 250 % 250,
            b=number % 250 + 4,
            tag="true" if instance_id(number) in due else other,
            launch_time=launch_time,
        )
        for number in numbers
    ]
    # As fleets are launched: alone or a few at once.
    reservations = []
    while instances:
        count = (1, 1, 4, 1, 2)[len(reservations) % 5]
        items, instances = "".join(instances[:count]), instances[count:]
        reservations.append(
            f"<item><reservationId>r-{numbers.start + len(reservations):017x}</reservationId>"
            f"<ownerId>123456789012</ownerId><groupSet/><instancesSet>{items}</instancesSet></item>"
        )
    more = f"<nextToken>{numbers.stop // PAGE}</nextToken>" if numbers.stop < size else ""
    return response("DescribeInstances", f"<reservationSet>{''.join(reservations)}</reservationSet>{more}")
