from .bench.validation import validate as validate
from .imatgen.model import IMatGen as IMatGen
from .models.ftcp_vae import FTCPVAE as FTCPVAE
from .models.tlvae import TLVAE as TLVAE
