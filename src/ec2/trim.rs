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

/// An answer that ended before its end: what is missing may be instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer ended in the middle")]
pub struct Cut;

/// Reads the plain XML that EC2 sends, tag by tag, wherever the chunks part it.
///
/// At anything else (a comment, CDATA, an attribute below the root, tags that do not match) it gives back what it was
/// dropping and drops nothing more: the SDK reads real XML, and an instance must not vanish or look untagged. An answer
/// of another call passes as it is.
#[derive(Debug, Default)]
pub struct Trimmer {
    /// A tag of which the end has not come yet.
    begun: Vec<u8>,
    /// How many elements are open.
    depth: usize,
    /// Inside an `instancesSet`.
    in_instances: bool,
    /// What was dropped of the element at this depth, from its begin.
    dropping: Option<(usize, Vec<u8>)>,
    /// Room for what is dropped next.
    spare: Vec<u8>,
    /// Nothing is dropped any more.
    passes: bool,
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
        while !self.passes
            && let Some(start) = memchr(b'<', rest)
        {
            self.keep(&mut kept, &rest[..start]);
            rest = &rest[start..];
            let Some(end) = memchr(b'>', rest) else {
                self.begun = rest.to_vec();
                return kept;
            };
            let (tag, behind) = rest.split_at(end + 1);
            if self.tag(&mut kept, tag).is_none() {
                // With the tag itself, which is still in `rest`.
                self.give_back(&mut kept);
                break;
            }
            rest = behind;
        }
        self.keep(&mut kept, rest);
        kept
    }

    /// To be asked where the answer ends.
    ///
    /// # Errors
    ///
    /// [`Cut`] where an element or a tag is still open. What passes as it is, the SDK reads to its end.
    pub fn end(&self) -> Result<(), Cut> {
        let is_open = self.depth > 0 || !self.begun.is_empty();
        if is_open && !self.passes { Err(Cut) } else { Ok(()) }
    }

    fn keep(&mut self, kept: &mut Vec<u8>, text: &[u8]) {
        match &mut self.dropping {
            Some((_, dropped)) => dropped.extend_from_slice(text),
            None => kept.extend_from_slice(text),
        }
    }

    fn give_back(&mut self, kept: &mut Vec<u8>) {
        self.passes = true;
        if let Some((_, dropped)) = self.dropping.take() {
            kept.extend_from_slice(&dropped);
        }
    }

    /// Keeps or drops a tag; none where it is not plainly understood.
    fn tag(&mut self, kept: &mut Vec<u8>, tag: &[u8]) -> Option<()> {
        let inside = tag.strip_prefix(b"<")?.strip_suffix(b">")?;
        if self.depth == 0 && inside.starts_with(b"?xml ") {
            self.keep(kept, tag);
            return Some(());
        }
        if let Some(name) = inside.strip_prefix(b"/") {
            return self.close(kept, tag, plain_name(name.trim_ascii_end())?);
        }
        let (inside, empty) = inside.strip_suffix(b"/").map_or((inside, false), |inside| (inside, true));
        let depth = self.depth + 1;
        // Only the root has attributes, and they say nothing here.
        let name = inside.split(u8::is_ascii_whitespace).next().filter(|_| depth == 1);
        let name = plain_name(name.unwrap_or(inside.trim_ascii_end()))?;
        match depth {
            1 if name != b"DescribeInstancesResponse" => return None,
            INSTANCES_SET => self.in_instances = name == b"instancesSet",
            _ => {}
        }
        let unread = depth == ELEMENT && self.in_instances && !KEPT.contains(&name);
        if unread && !empty {
            self.dropping = Some((depth, std::mem::take(&mut self.spare)));
        }
        if !(unread && empty) {
            self.keep(kept, tag);
        }
        if !empty {
            self.depth = depth;
        }
        Some(())
    }

    fn close(&mut self, kept: &mut Vec<u8>, tag: &[u8], name: &[u8]) -> Option<()> {
        let depth = self.depth;
        self.depth = depth.checked_sub(1)?;
        match &mut self.dropping {
            Some((first, dropped)) if *first == depth => {
                let behind = dropped.strip_prefix(b"<")?.strip_prefix(name)?.first()?;
                if !behind.is_ascii_whitespace() && *behind != b'>' {
                    return None;
                }
                dropped.clear();
                self.spare = std::mem::take(dropped);
                self.dropping = None;
            }
            _ => self.keep(kept, tag),
        }
        Some(())
    }
}

/// A name alone, as all tags below the root have it.
fn plain_name(name: &[u8]) -> Option<&[u8]> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (!name.is_empty() && name.iter().all(plain)).then_some(name)
}

#[cfg(test)]
#[path = "../../fuzz/trim_oracle.rs"]
mod oracle;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::oracle::{answer, read};
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

    /// What EC2 is not known to send, at every place where something is dropped or kept: nothing is lost.
    #[test]
    fn what_is_not_plain_makes_nothing_vanish() {
        let whole = read(PAGE).unwrap();
        assert_eq!(whole.len(), 2, "an instance and a token");
        for odd in [
            "<!-- <tagSet> </item> -->",
            "<![CDATA[</networkInterfaceSet><tagSet>]]>",
            "<![CDATA[>]]>",
            "<?x </item> ?>",
            "<imageId a=\">\">1</imageId>",
            "<imageId a='/>'/>",
            "<imageId\n>1</imageId >",
            "<imageId />",
        ] {
            // Between any two tags below the root.
            let body = PAGE.find("<requestId>").unwrap();
            for (at, _) in PAGE.match_indices('<').filter(|(at, _)| *at >= body) {
                let page = format!("{}{odd}{}", &PAGE[..at], &PAGE[at..]);
                let trimmed = trim(&[page.as_bytes()]);
                assert_eq!(read(&trimmed), read(&page), "{odd} at {at}: {trimmed}");
                assert!(read(&page).is_some(), "{odd} at {at}");
            }
        }
    }

    #[test]
    fn tags_that_do_not_match_are_the_sdks_to_refuse() {
        for (from, to) in [
            ("<imageId>ami-1</imageId>", "<imageId>ami-1</imageIds>"),
            ("<imageId>ami-1</imageId>", "<imageIds>ami-1</imageId>"),
            ("<imageId>ami-1</imageId>", "<imageId>ami-1</item></instancesSet>"),
            ("<privateDnsName/>", "<privateDnsName></item><item><instanceId>i-2</instanceId>"),
            ("</DescribeInstancesResponse>", "</DescribeInstancesResponse><item>"),
            ("</DescribeInstancesResponse>", "</DescribeInstancesResponse></item>"),
        ] {
            let page = PAGE.replace(from, to);
            assert_eq!(read(&page), None, "{to}");
            assert_eq!(read(&trim(&[page.as_bytes()])), None, "{to}");
        }
    }

    /// Cut anywhere, it is half an answer: an error at its end.
    #[test]
    fn half_an_answer_is_none() {
        let end = |body: &str| {
            let mut trimmer = Trimmer::default();
            trimmer.trim(body.as_bytes());
            trimmer.end()
        };
        let begin = PAGE.find("<DescribeInstancesResponse").unwrap() + 1;
        for length in begin..PAGE.len() {
            assert_eq!(end(&PAGE[..length]), Err(Cut), "{length}");
        }
        assert_eq!(end(PAGE), Ok(()));
        assert_eq!(end(&format!("{PAGE}\n")), Ok(()));
        let other = PAGE.replace("DescribeInstancesResponse", "StopInstancesResponse");
        assert_eq!(end(&other[..other.len() / 2]), Ok(()), "another call's answer is the SDK's to read");
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
        fn a_real_parser_reads_the_same(choices in prop::collection::vec(any::<u8>(), 0..300), size in 1_usize..200) {
            let page = answer(&choices);
            let whole = read(&page);
            prop_assert!(whole.is_some(), "{page}");
            let chunks: Vec<&[u8]> = page.as_bytes().chunks(size).collect();
            let trimmed = trim(&chunks);
            prop_assert_eq!(read(&trimmed), whole, "{}\n{}", page, trimmed);
        }

        #[test]
        fn nothing_makes_it_panic(chunks in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"</>!?a "[..]), 0..9), 0..20)) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            trim(&chunks);
        }
    }
}
