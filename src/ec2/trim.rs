//! Drops from a `DescribeInstances` answer what nobody here reads, as it comes in and before the SDK parses it.
//!
//! An instance has some hundred XML elements and a dozen matter. Nine tenths of this function's processor time, and
//! most of its memory, went into parsing the others (see `docs/building.md`).

use memchr::memchr;

/// The elements of an instance that `aws::observe` reads.
const KEPT: [&[u8]; 13] = [
    b"hibernationOptions",
    b"instanceId",
    b"instanceLifecycle",
    b"instanceState",
    b"instanceType",
    b"launchTime",
    b"operator",
    b"placement",
    b"platform",
    b"reason",
    b"rootDeviceType",
    b"stateReason",
    b"tagSet",
];
/// How deep those elements lie: response, `reservationSet`, item, `instancesSet`, item, element.
const ELEMENT: usize = 6;
const INSTANCES_SET: usize = 4;

/// Reads XML tag by tag, wherever the chunks part it.
#[derive(Debug, Default)]
pub struct Trimmer {
    /// A tag of which the end has not come yet.
    begun: Vec<u8>,
    /// How many elements are open.
    depth: usize,
    /// Inside `DescribeInstancesResponse`, and there inside an `instancesSet`.
    in_response: bool,
    in_instances: bool,
    /// The depth of the element that is being dropped.
    dropping: Option<usize>,
}

impl Trimmer {
    /// What of the next part of the answer is to be parsed.
    pub fn trim(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut kept = Vec::new();
        let joined;
        let mut rest = if self.begun.is_empty() {
            chunk
        } else {
            self.begun.extend_from_slice(chunk);
            joined = std::mem::take(&mut self.begun);
            &joined
        };
        while let Some(start) = memchr(b'<', rest) {
            self.keep(&mut kept, &rest[..start]);
            rest = &rest[start..];
            let Some(end) = memchr(b'>', rest) else {
                self.begun = rest.to_vec();
                return kept;
            };
            let (tag, behind) = rest.split_at(end + 1);
            self.tag(&mut kept, tag);
            rest = behind;
        }
        self.keep(&mut kept, rest);
        kept
    }

    fn keep(&self, kept: &mut Vec<u8>, text: &[u8]) {
        if self.dropping.is_none() {
            kept.extend_from_slice(text);
        }
    }

    fn tag(&mut self, kept: &mut Vec<u8>, tag: &[u8]) {
        match tag.get(1) {
            Some(b'/') => {
                if self.dropping == Some(self.depth) {
                    self.dropping = None;
                } else {
                    self.keep(kept, tag);
                }
                self.depth = self.depth.saturating_sub(1);
            }
            // A declaration; EC2 sends one, at the start.
            Some(b'?' | b'!') => self.keep(kept, tag),
            _ => {
                let empty = tag.ends_with(b"/>");
                let depth = self.depth + 1;
                let name_end = tag.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'/' | b'>'));
                let name = &tag[1..name_end.unwrap_or(tag.len())];
                match depth {
                    1 => self.in_response = name == b"DescribeInstancesResponse",
                    INSTANCES_SET => self.in_instances = self.in_response && name == b"instancesSet",
                    _ => {}
                }
                let unread = depth == ELEMENT && self.in_instances && !KEPT.contains(&name);
                if !unread {
                    self.keep(kept, tag);
                } else if !empty {
                    self.dropping = Some(depth);
                }
                if !empty {
                    self.depth = depth;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trim(chunks: &[&[u8]]) -> String {
        let mut trimmer = Trimmer::default();
        String::from_utf8(chunks.iter().flat_map(|chunk| trimmer.trim(chunk)).collect()).unwrap()
    }

    const PAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>r</requestId>
  <reservationSet>
    <item>
      <reservationId>r-1</reservationId>
      <groupSet><item><instanceId>not one</instanceId></item></groupSet>
      <instancesSet>
        <item>
          <instanceId>i-0123456789abcdef0</instanceId>
          <imageId>ami-1</imageId>
          <instanceState><code>16</code><name>running</name></instanceState>
          <privateDnsName/>
          <productCodes/><networkInterfaceSet><item>
            <tagSet><item><key>Stopinator</key><value>false</value></item></tagSet>
            <networkInterfaceSet>itself again</networkInterfaceSet><groupSet/>
          </item></networkInterfaceSet>
          <tagSet><item><key>a>b</key><value>x &lt;imageId&gt; y</value></item></tagSet>
          <operator><managed>true</managed></operator>
        </item>
      </instancesSet>
    </item>
  </reservationSet>
  <nextToken>t</nextToken>
</DescribeInstancesResponse>"#;

    #[test]
    fn what_is_read_stays_and_the_rest_of_an_instance_goes() {
        let trimmed = trim(&[PAGE.as_bytes()]);
        insta::assert_snapshot!(trimmed.split_whitespace().collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn other_answers_stay_as_they_are() {
        for other in [
            PAGE.replace("DescribeInstancesResponse", "StopInstancesResponse"),
            "<Response><Errors><Error><Code>c</Code></Error></Errors></Response>".to_owned(),
            String::new(),
            "no XML at all > or < is it".to_owned(),
        ] {
            let expected = other.strip_suffix("< is it").unwrap_or(&other);
            assert_eq!(trim(&[other.as_bytes()]), expected);
        }
    }

    proptest! {
        #[test]
        fn the_chunks_make_no_difference(mut cuts in prop::collection::vec(0..PAGE.len(), 0..30)) {
            cuts.extend([0, PAGE.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &PAGE.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(trim(&chunks), trim(&[PAGE.as_bytes()]));
        }

        #[test]
        fn nothing_makes_it_panic(chunks in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"</>!?a "[..]), 0..9), 0..20)) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            trim(&chunks);
        }
    }
}
