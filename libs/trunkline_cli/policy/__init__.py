"""What `trunkline policy` does beyond the command line itself: files, lines of findings, labelled queries, figures."""
