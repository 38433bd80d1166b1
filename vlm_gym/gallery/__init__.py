"""Pictures and tables for people: boards, sheets of levels, the catalogue, a game's card."""
