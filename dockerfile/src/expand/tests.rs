//! What a user sees of expansion, one behaviour a test.

use super::*;

fn env(name: &str) -> Option<String> {
    match name {
        "set" => Some("value".to_owned()),
        "empty" => Some(String::new()),
        "blanks" => Some(" a  b ".to_owned()),
        "path" => Some("/usr/lib/x.tar.gz".to_owned()),
        "größe" => Some("7".to_owned()),
        _ => None,
    }
}

fn word(text: &str) -> String {
    Expander::new('\\').process_word(text, &env).unwrap().text
}

fn error(text: &str) -> ExpandError {
    Expander::new('\\').process_word(text, &env).unwrap_err()
}

fn words(text: &str) -> Vec<String> {
    Expander::new('\\').process_words(text, &env).unwrap()
}

#[test]
fn names_end_where_a_name_cannot_go_on() {
    assert_eq!(word("$set. ${set}x $größe"), "value. valuex 7");
    assert_eq!(word("$setx|$unset|$1a|$$|$@@"), "||a||@");
    assert_eq!(word("$ $. a$"), "$ $. a$");
}

#[test]
fn quotes_are_removed_and_single_ones_stop_expansion() {
    assert_eq!(word(r#"'$set' "$set" "it's" '"'"#), r#"$set value it's ""#);
    assert_eq!(error("'a"), ExpandError::OpenQuote('\''));
    assert_eq!(error("\"a\\\""), ExpandError::OpenQuote('"'));
}

#[test]
fn escapes_depend_on_the_quotes_around_them() {
    assert_eq!(word(r#"\$set \a \\ "\a \$set \\""#), r"$set a \ \a $set \");
    assert_eq!(word("a\\"), "a");
    let backquote = Expander::new('`');
    assert_eq!(backquote.process_word(r"c:\x `$set", &env).unwrap().text, r"c:\x $set");
}

#[test]
fn quotes_are_text_in_a_heredoc() {
    let heredoc = Expander::for_heredoc('\\');
    let text = heredoc.process_word("\"$set\" it's \\$set\n", &env).unwrap().text;
    assert_eq!(text, "\"value\" it's $set\n");
}

#[test]
fn defaults_alternatives_and_requirements() {
    assert_eq!(word("${set:-x} ${empty:-x} ${empty-x} ${unset-x}"), "value x  x");
    assert_eq!(word("${set:+x} ${empty:+x} ${empty+x} ${unset+x}|"), "x  x |");
    assert_eq!(word("${set:?x} ${empty?x}|"), "value |");
    assert_eq!(error("${empty:?no}").to_string(), "empty: no");
    assert_eq!(error("${empty:?}").to_string(), "empty: is not allowed to be empty");
    assert_eq!(error("${unset?}").to_string(), "unset: is not allowed to be unset");
    assert_eq!(word("${unset:-${empty:-'a }' $set}}"), "a } value");
}

#[test]
fn patterns_trim_and_replace() {
    assert_eq!(word("${path##*/} ${path%%.*} ${path%.*}"), "x.tar.gz /usr/lib/x /usr/lib/x.tar");
    assert_eq!(
        word("${path#/} ${path/x*/y} ${path//\\//-}"),
        "usr/lib/x.tar.gz /usr/lib/y -usr-lib-x.tar.gz"
    );
    assert_eq!(error("${path/a}"), ExpandError::Missing('/'));
}

#[test]
fn bad_substitutions_are_errors() {
    assert_eq!(error("${}"), ExpandError::BadSubstitution);
    assert_eq!(error("${:x}"), ExpandError::BadSubstitution);
    assert_eq!(error("${a.b}"), ExpandError::UnsupportedModifier(".".to_owned()));
    assert_eq!(error("${a:#b}"), ExpandError::UnsupportedModifier(":#".to_owned()));
    assert_eq!(error("${a:=b}"), ExpandError::UnsupportedModifier(":=".to_owned()));
    for open in ["${", "${a", "${a:", "${a:-b", "${a:-${b}"] {
        assert_eq!(error(open), ExpandError::Missing('}'), "{open}");
    }
}

#[test]
fn expansion_tells_which_names_it_asked_for() {
    let expansion = Expander::new('\\').process_word("$set ${a:-$b} '$c' ${set+$empty}", &env).unwrap();
    assert_eq!(expansion.matched.into_iter().collect::<Vec<_>>(), ["empty", "set"]);
    assert_eq!(expansion.unmatched.into_iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn words_split_at_blanks_of_values_unless_quoted() {
    assert_eq!(words("x${blanks}y"), ["x", "a", "b", "y"]);
    assert_eq!(words("\"x${blanks}y\" z"), ["x a  b y", "z"]);
    assert_eq!(words(r"a\ b '' c"), ["a b", "c"]);
    assert_eq!(words("${unset}"), Vec::<String>::new());
}

#[test]
fn nesting_and_size_are_bounded() {
    assert_eq!(error(&"${a:-".repeat(100_000)), ExpandError::TooDeep);
    let big = |_: &str| Some("x".repeat(1000));
    let expander = Expander::new('\\');
    assert_eq!(expander.process_word(&"$a".repeat(2000), &big), Err(ExpandError::TooLong));
}

#[test]
fn error_points_at_the_word_it_came_from() {
    let error = ExpandError::BadSubstitution.at(Span::at(3, 4));
    assert_eq!((error.span().line, error.span().column), (3, 4));
    assert!(error.diagnostic().hint.is_some());
}
