"""The core under a fuzzer: whatever bytes come, cut anywhere, under any settings, only documented outcomes."""
