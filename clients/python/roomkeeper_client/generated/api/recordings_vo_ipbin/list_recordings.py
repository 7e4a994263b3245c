from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.failure import Failure
from ...models.recording_list import RecordingList
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    page_size: int | Unset = UNSET,
    page_token: str | Unset = UNSET,
    conference_id: UUID | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["page_size"] = page_size

    params["page_token"] = page_token

    json_conference_id: str | Unset = UNSET
    if not isinstance(conference_id, Unset):
        json_conference_id = str(conference_id)
    params["conference_id"] = json_conference_id

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1.0/recordings",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Failure | RecordingList | None:
    if response.status_code == 200:
        response_200 = RecordingList.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = Failure.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Failure.from_dict(response.json())

        return response_401

    if response.status_code == 429:
        response_429 = Failure.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = Failure.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = Failure.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Failure | RecordingList]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    page_size: int | Unset = UNSET,
    page_token: str | Unset = UNSET,
    conference_id: UUID | Unset = UNSET,
) -> Response[Failure | RecordingList]:
    """List recordings

     Ordered by creation time. Ended ones are listed for a limited time.

    Args:
        page_size (int | Unset): The maximum number of rows. A larger number is reduced to the
            allowed maximum.
        page_token (str | Unset):
        conference_id (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | RecordingList]
    """

    kwargs = _get_kwargs(
        page_size=page_size,
        page_token=page_token,
        conference_id=conference_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    page_size: int | Unset = UNSET,
    page_token: str | Unset = UNSET,
    conference_id: UUID | Unset = UNSET,
) -> Failure | RecordingList | None:
    """List recordings

     Ordered by creation time. Ended ones are listed for a limited time.

    Args:
        page_size (int | Unset): The maximum number of rows. A larger number is reduced to the
            allowed maximum.
        page_token (str | Unset):
        conference_id (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | RecordingList
    """

    return sync_detailed(
        client=client,
        page_size=page_size,
        page_token=page_token,
        conference_id=conference_id,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    page_size: int | Unset = UNSET,
    page_token: str | Unset = UNSET,
    conference_id: UUID | Unset = UNSET,
) -> Response[Failure | RecordingList]:
    """List recordings

     Ordered by creation time. Ended ones are listed for a limited time.

    Args:
        page_size (int | Unset): The maximum number of rows. A larger number is reduced to the
            allowed maximum.
        page_token (str | Unset):
        conference_id (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | RecordingList]
    """

    kwargs = _get_kwargs(
        page_size=page_size,
        page_token=page_token,
        conference_id=conference_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    page_size: int | Unset = UNSET,
    page_token: str | Unset = UNSET,
    conference_id: UUID | Unset = UNSET,
) -> Failure | RecordingList | None:
    """List recordings

     Ordered by creation time. Ended ones are listed for a limited time.

    Args:
        page_size (int | Unset): The maximum number of rows. A larger number is reduced to the
            allowed maximum.
        page_token (str | Unset):
        conference_id (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | RecordingList
    """

    return (
        await asyncio_detailed(
            client=client,
            page_size=page_size,
            page_token=page_token,
            conference_id=conference_id,
        )
    ).parsed
