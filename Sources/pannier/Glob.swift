// Names chosen by a pattern.

/// A pattern with `*` (any characters) and `?` (one character).
struct Glob {
    private let pattern: [Character]

    init(_ pattern: String) { self.pattern = Array(pattern) }

    /// Whether the whole text fits. Linear in the text for each star, without recursion.
    func matches(_ text: String) -> Bool {
        let text = Array(text)
        var at = 0
        var place = 0
        var star: (pattern: Int, text: Int)?
        while at < text.count {
            if place < pattern.count, pattern[place] == "?" || (pattern[place] == text[at] && pattern[place] != "*") {
                at += 1
                place += 1
            } else if place < pattern.count, pattern[place] == "*" {
                star = (place, at)
                place += 1
            } else if let last = star {
                place = last.pattern + 1
                at = last.text + 1
                star = (last.pattern, at)
            } else {
                return false
            }
        }
        while place < pattern.count, pattern[place] == "*" { place += 1 }
        return place == pattern.count
    }
}
