"""What this package adds to lightrec."""

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_encoders = gives(
    {
        "Fused": "lightrec_images.fused:Fused",
        "Given": "lightrec_images.given:Given",
        "ImageEncoder": "lightrec_images.image:ImageEncoder",
    }
)
