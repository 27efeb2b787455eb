//! The site in conf/www holds together: every link leads to a file that is
//! there, and nothing is loaded from elsewhere.

use std::path::Path;

/// Made by scripts/make-site; the page says so beside the link.
const MADE: &str = "large.txt";

#[test]
fn every_link_of_the_index_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/www");
    let page = std::fs::read_to_string(root.join("index.html")).expect("the index page is there");
    let links: Vec<&str> = page
        .split([' ', '\n', '<'])
        .filter_map(|word| {
            let value = word
                .strip_prefix("href=\"")
                .or_else(|| word.strip_prefix("src=\""))?;
            value.split('"').next()
        })
        .collect();
    assert!(links.len() >= 4, "found only {links:?}");
    for link in links {
        assert!(!link.contains(':'), "{link} leads elsewhere");
        assert!(
            link == MADE || root.join(link).is_file(),
            "{link} leads nowhere"
        );
    }
    assert!(page.contains("scripts/make-site"));
}
