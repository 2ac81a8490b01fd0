"""Online shops for lightrec: Virtual Taobao, a simulator of a shop's users."""
