// What a real XML parser reads of an answer has to be the same before and after it was trimmed. For the fuzz target and
// for the tests of `src/ec2/trim.rs`.

use roxmltree::{Document, Node};

/// The elements that the function reads, written again so that the list itself is tested.
const READ: &str = "hibernationOptions instanceId instanceLifecycle instanceState instanceType launchTime operator \
                    placement platform reason rootDeviceType stateReason tagSet";

/// All that the function reads of an answer: its tokens, and the read elements of each instance. None where the answer
/// is not well-formed.
pub(crate) fn read(xml: &str) -> Option<Vec<String>> {
    let document = Document::parse(xml).ok()?;
    let root = document.root_element();
    if root.tag_name().name() != "DescribeInstancesResponse" {
        return Some(vec![text(root)]);
    }
    // By local names: the answers have one namespace.
    let named = |node: &Node<'_, '_>, name: &str| node.is_element() && node.tag_name().name() == name;
    let mut read: Vec<String> = root.children().filter(|node| named(node, "nextToken")).map(text).collect();
    for set in root.children().filter(|node| named(node, "reservationSet")) {
        for reservation in set.children().filter(|node| named(node, "item")) {
            for set in reservation.children().filter(|node| named(node, "instancesSet")) {
                for instance in set.children().filter(|node| named(node, "item")) {
                    let known = |node: &Node<'_, '_>| READ.split(' ').any(|name| named(node, name));
                    read.push(instance.children().filter(known).map(text).collect());
                }
            }
        }
    }
    Some(read)
}

/// A node with all that is in it, as text.
fn text(node: Node<'_, '_>) -> String {
    if node.is_text() {
        return node.text().unwrap_or_default().to_owned();
    }
    let inside: String = node.children().map(text).collect();
    if node.is_element() { format!("<{0}>{inside}</{0}>", node.tag_name().name()) } else { inside }
}

/// A well-formed answer, made as the bytes choose: instances with elements that are read and others, and now and then
/// what EC2 is not known to send.
pub(crate) fn answer(choices: &[u8]) -> String {
    let mut xml = Maker { choices: choices.iter() };
    let reservations = (0..=xml.choose(3)).map(|_| {
        let odd = xml.odd();
        let instances = (0..xml.choose(4)).map(|_| ["<item>", &xml.elements(3), "</item>"].concat());
        let instances: String = instances.collect();
        format!("<item><reservationId>r</reservationId>{odd}<instancesSet>{instances}</instancesSet></item>")
    });
    let body: String = reservations.collect();
    let attribute = ["", " xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"", " a=\"x>y\"", " a='/>'"][xml.choose(4)];
    let begin = ["", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", "<!-- <a> -->"][xml.choose(3)];
    let odd = xml.odd();
    format!(
        "{begin}<DescribeInstancesResponse{attribute}>{odd}<reservationSet>{body}</reservationSet>\
         <nextToken>t</nextToken></DescribeInstancesResponse>\n"
    )
}

struct Maker<'a> {
    choices: std::slice::Iter<'a, u8>,
}

impl Maker<'_> {
    /// A number below `most`; 0 where the choices are used up.
    fn choose(&mut self, most: usize) -> usize {
        self.choices.next().map_or(0, |byte| usize::from(*byte) % most)
    }

    fn elements(&mut self, depth: usize) -> String {
        const NAMES: [&str; 12] = [
            "tagSet",
            "instanceId",
            "imageId",
            "networkInterfaceSet",
            "item",
            "instanceState",
            "instancesSet",
            "value",
            "blockDeviceMapping",
            "stateReason",
            "reservationSet",
            "privateDnsName",
        ];
        let elements = (0..self.choose(5)).map(|_| {
            let name = NAMES[self.choose(NAMES.len())];
            let space = ["", "", "", " ", "\n"][self.choose(5)];
            let is_odd = self.choose(16) == 1;
            let attribute = if is_odd { [" a=\"1\"", " a='>'", " a=\"/>\"", " b=\"'\""][self.choose(4)] } else { "" };
            let inside = match self.choose(4) {
                0 => return format!("<{name}{attribute}{space}/>{}", self.odd()),
                1 if depth > 0 => self.elements(depth - 1),
                _ => self.text().to_owned(),
            };
            format!("<{name}{attribute}{space}>{inside}</{name}{space}>{}", self.odd())
        });
        elements.collect()
    }

    fn text(&mut self) -> &'static str {
        ["", "i-0123", "a>b", "x &lt;imageId&gt; y", "&#x3c;", "<![CDATA[</imageId><tagSet>]]>", "<!-- </item> -->"]
            [self.choose(7)]
    }

    /// Seldom: something between elements that is none.
    fn odd(&mut self) -> &'static str {
        if self.choose(24) != 1 {
            return "";
        }
        ["<!-- <item> -->", "<!-- </item> > -->", "<?x <tagSet> ?>", "<![CDATA[<item>]]>", "<![CDATA[>]]>", "\n  "]
            [self.choose(6)]
    }
}
