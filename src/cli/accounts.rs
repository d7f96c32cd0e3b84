//! Whom to ask: the accounts that the profiles lead to, each with its regions.

use std::collections::BTreeMap;

use stopinator::aws::Clients;
use stopinator::aws::profiles::{Profiles, SignedIn};
use stopinator::place::Region;
use stopinator::settings::Settings;

use crate::args::Ask;
use crate::failure::Failure;
use crate::rules::Rules;

/// An account that answers.
#[derive(Debug)]
pub(crate) struct Account {
    /// The profile's name, or the account's id where none was named.
    pub(crate) name: String,
    /// 12 digits.
    pub(crate) id: String,
    pub(crate) settings: Settings,
    pub(crate) clients: Clients,
}

/// The accounts, and a line for each that does not answer.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) open: Vec<Account>,
    pub(crate) failed: Vec<String>,
    /// What else is to be said.
    pub(crate) remarks: Vec<String>,
}

impl Accounts {
    /// Signs in everywhere. Of profiles that lead to one account, the first is taken. The AWS CLI may ask for a code, so
    /// nothing may move on the terminal meanwhile.
    pub(crate) async fn open(ask: &Ask, rules: &Rules) -> Result<Self, Failure> {
        let profiles = Profiles::read().await.map_err(|error| Failure::usage(error.to_string()))?;
        let names = names(&profiles, &ask.profile)?;
        let mut accounts = Self { open: Vec::new(), failed: Vec::new(), remarks: Vec::new() };
        let mut by_id: BTreeMap<String, String> = BTreeMap::new();
        for name in names {
            let (name, signed_in, id) = match sign_in(&profiles, name).await {
                Ok(account) => account,
                Err(why) => {
                    accounts.failed.push(why);
                    continue;
                }
            };
            if let Some(first) = by_id.get(&id) {
                accounts.remarks.push(format!("{name}: left out: it is the account of {first}, {id}"));
                continue;
            }
            by_id.insert(id.clone(), name.clone());
            match regions(ask, rules, &signed_in, &name).await? {
                Ok(regions) => {
                    let settings = rules.settings(&regions)?;
                    let clients = signed_in.clients(&settings);
                    accounts.open.push(Account { name, id, settings, clients });
                }
                Err(why) => accounts.failed.push(why),
            }
        }
        match (&*accounts.open, accounts.failed.len()) {
            ([], 0) => Err(Failure::usage("no profile fits: see aws configure list-profiles".to_owned())),
            ([], _) => Err(Failure::incomplete(accounts.failed.join("\n       "))),
            _ => Ok(accounts),
        }
    }

    /// Where it was looked, for a sentence.
    pub(crate) fn places(&self) -> String {
        let mut regions: Vec<&str> =
            self.open.iter().flat_map(|account| &account.settings.regions).map(Region::as_str).collect();
        regions.sort_unstable();
        regions.dedup();
        let regions = match &*regions {
            few @ ([] | [_] | [_, _] | [_, _, _]) => few.join(", "),
            many => format!("{} regions", many.len()),
        };
        match &*self.open {
            [_] => regions,
            many => format!("{} accounts, {regions}", many.len()),
        }
    }
}

/// The profiles that are meant, each once; none where nobody names one.
fn names<'a>(profiles: &'a Profiles, asked: &'a [String]) -> Result<Vec<Option<&'a str>>, Failure> {
    if asked.is_empty() {
        return Ok(vec![None]);
    }
    let mut names: Vec<&str> = Vec::new();
    for asked in asked {
        let known = profiles.names();
        let mut fit: Vec<&str> = known.iter().copied().filter(|name| fits(asked, name)).collect();
        if fit.is_empty() && asked.contains(['*', '?']) {
            return Err(Failure::usage(format!("no profile fits {asked}: see aws configure list-profiles")));
        }
        if fit.is_empty() {
            let meant = stopinator::meant::nearest(asked, known.iter().copied(), 2);
            let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
            return Err(Failure::usage(format!("there is no profile {asked}{meant}")));
        }
        fit.retain(|name| !names.contains(name));
        names.extend(fit);
    }
    Ok(names.into_iter().map(Some).collect())
}

async fn sign_in(profiles: &Profiles, profile: Option<&str>) -> Result<(String, SignedIn, String), String> {
    let who = profile.map_or(String::new(), |name| format!("{name}: "));
    let signed_in = profiles.sign_in(profile).await.map_err(|error| format!("{who}{error}"))?;
    let id =
        signed_in.account_id().await.map_err(|error| format!("{who}which account it is, is not known: {error}"))?;
    Ok((profile.map_or_else(|| id.clone(), str::to_owned), signed_in, id))
}

/// The regions to look in, or why they are not known. A name that is none's ends it all.
async fn regions(
    ask: &Ask,
    rules: &Rules,
    signed_in: &SignedIn,
    name: &str,
) -> Result<Result<Vec<Region>, String>, Failure> {
    let asked: Vec<String> =
        if ask.region.is_empty() { rules.regions().unwrap_or_default() } else { ask.region.clone() };
    if asked.iter().any(|region| region.eq_ignore_ascii_case("all")) {
        return Ok(signed_in.regions().await.map_err(|error| format!("{name}: its regions are not known: {error}")));
    }
    if asked.is_empty() {
        return match signed_in.region() {
            Some(region) => Ok(Ok(vec![region])),
            None if ask.profile.is_empty() => {
                Err(Failure::usage("no region: give --region, or set AWS_REGION".to_owned()))
            }
            None => Err(Failure::usage(format!("no region: give --region, or set one in profile {name}"))),
        };
    }
    let regions = asked.into_iter().map(|region| Region::try_from(region.trim().to_owned()));
    let mut regions: Vec<Region> =
        regions.collect::<Result<_, _>>().map_err(|error| Failure::usage(format!("--region: {error}")))?;
    regions.sort();
    regions.dedup();
    Ok(Ok(regions))
}

/// Whether a name fits a pattern, in which `*` stands for any letters and `?` for one.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Where the last `*` stands, and how much of the name it has eaten.
    let (mut at, mut letter, mut star) = (0, 0, None);
    while letter < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, letter));
                at += 1;
            }
            Some(c) if *c == '?' || *c == name[letter] => {
                at += 1;
                letter += 1;
            }
            _ => match star {
                Some((place, eaten)) => {
                    star = Some((place, eaten + 1));
                    at = place + 1;
                    letter = eaten + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns() {
        for (pattern, name, does) in [
            ("dev", "dev", true),
            ("dev", "dev2", false),
            ("acme-*", "acme-dev", true),
            ("acme-*", "acme", false),
            ("*", "", true),
            ("*-prod", "acme-eu-prod", true),
            ("a?me", "acme", true),
            ("a?me", "ame", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("web-?", "web-서", true),
        ] {
            assert_eq!(fits(pattern, name), does, "{pattern} {name}");
        }
    }
}
