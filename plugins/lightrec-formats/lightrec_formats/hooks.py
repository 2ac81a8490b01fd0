"""What this package adds to lightrec."""

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_commands = gives({"data fetch": "lightrec_formats.fetch:fetch"})
lightrec_readers = gives(
    {
        "JesterReader": "lightrec_formats.jester:JesterReader",
        "ObjectReader": "lightrec_formats.objects:ObjectReader",
        "RecBoleReader": "lightrec_formats.recbole:RecBoleReader",
        "SqlReader": "lightrec_formats.sql:SqlReader",
    }
)
